package manifest

// readBackup reads [backup]: what a backup has besides the app's data, and what
// it leaves out.
func readBackup(r *reading) {
	t := r.table.table("backup")
	if t == nil {
		return
	}
	t.texts("paths")
	t.texts("exclude")
	t.done()
	r.noEffect("backup", "this server makes no backups of apps")
}
