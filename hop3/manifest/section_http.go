package manifest

// readHTTP accepts [http], what the server is to do with an app's requests, for
// servers that act on it.
func readHTTP(r *reading) {
	if t := r.table.table("http"); t != nil {
		r.noEffect("http", "this server treats the requests of all apps alike")
	}
}
