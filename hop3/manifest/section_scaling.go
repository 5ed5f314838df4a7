package manifest

import (
	"maps"
	"slices"
)

const maxInstances = 1000

// readScaling reads [scaling]: process type -> number of instances. It comes
// after [run], and also counts what only the Procfile declares.
func readScaling(r *reading) {
	t := r.table.table("scaling")
	if t == nil {
		return
	}
	r.manifest.scaling = map[string]int{}
	for _, kind := range slices.Sorted(maps.Keys(t.values)) {
		r.manifest.scaling[kind] = t.integer(kind, 0, maxInstances)
	}
}
