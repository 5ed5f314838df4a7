package manifest

import (
	"maps"
	"slices"
	"strings"
)

// readStatic reads [static], which hides [run].static.
func readStatic(r *reading) {
	t := r.table
	if mapped := t.pairs("static"); mapped != nil {
		r.manifest.Static = mapped
	}
	for _, prefix := range slices.Sorted(maps.Keys(r.manifest.Static)) {
		path := []string{"static", prefix}
		if _, ok := t.values["static"]; !ok {
			path = []string{"run", "static", prefix}
		}
		if !strings.HasPrefix(prefix, "/") {
			t.doc.fail(path, "the key must be a URL path that begins with '/'")
		}
		if dir := r.manifest.Static[prefix]; !inside(dir) {
			t.doc.fail(path, "%q must be a directory inside the app's source", cut(dir))
		}
	}
	if len(r.manifest.Static) > 0 {
		r.noEffect("static", "this server does not map paths of an app to directories: the app's own process has to serve them")
	}
}
