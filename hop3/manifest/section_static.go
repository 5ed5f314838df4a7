package manifest

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// readStatic reads [static], which hides [run].static.
func readStatic(r *reading) {
	t := r.table
	declared := r.manifest.Static
	if mapped := t.pairs("static"); mapped != nil {
		declared = mapped
	}
	r.manifest.Static = nil
	for _, prefix := range slices.Sorted(maps.Keys(declared)) {
		at := []string{"static", prefix}
		if _, ok := t.values["static"]; !ok {
			at = []string{"run", "static", prefix}
		}
		clean, dir := path.Clean("/"+prefix), declared[prefix]
		if _, twice := r.manifest.Static[clean]; twice {
			t.doc.fail(at, "'%s' is declared already", clean)
		}
		if !strings.HasPrefix(prefix, "/") || strings.ContainsAny(prefix, "?#*\x00") || clean != strings.TrimSuffix(prefix, "/") && clean != prefix {
			t.doc.fail(at, "the key must be a URL path such as '/static'")
		}
		if dir == "" || !inside(dir) || strings.ContainsRune(dir, 0) {
			t.doc.fail(at, "%q must be a file or directory inside the app's source", cut(dir))
		}
		if r.manifest.Static == nil {
			r.manifest.Static = map[string]string{}
		}
		r.manifest.Static[clean] = path.Clean(dir)
	}
}
