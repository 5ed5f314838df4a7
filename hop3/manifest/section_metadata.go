package manifest

// readMetadata reads [metadata], which tells catalogues and people what the app
// is. The client takes the app's name from its id.
func readMetadata(r *reading) {
	t := r.table.table("metadata")
	if t == nil {
		return
	}
	for _, key := range []string{"id", "version", "title", "description", "author", "license", "name", "homepage"} {
		t.text(key)
	}
	t.texts("categories")
	t.texts("tags")
	t.done()
}
