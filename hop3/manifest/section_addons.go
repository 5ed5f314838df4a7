package manifest

// addonTypes are the addons of Hop3. A plug-in may bring others.
var addonTypes = []string{"postgres", "mysql", "redis", "s3", "email"}

// noAddons is why an app that asks for an addon is not deployed: it would start
// without its database, and may well make do with a file that the next release
// does not have.
const noAddons = "this server has no addons: set the variables the app expects of it (as DATABASE_URL) with `hop3 env set`, and take this out"

// readAddons reads [[addons]] or, when there is none, [[provider]], its name of
// old. Of an entry only type and name are ours, the rest is the addon's.
func readAddons(r *reading) {
	entries := r.tables("addons")
	old := r.tables("provider")
	if r.describing() || len(entries) == 0 {
		entries = append(entries, old...)
	}
	for _, t := range entries {
		t.readAddon()
		t.doc.fail(t.path, "%s", noAddons)
	}
}

func (t *table) readAddon() {
	kind := t.text("type")
	t.required("type")
	if guess := closest(kind, addonTypes); guess != "" && guess != kind {
		t.fail("type", "%q is not a type of addon; did you mean '%s'?", cut(kind), guess)
	}
	t.text("name")
	t.texts("extensions")
}
