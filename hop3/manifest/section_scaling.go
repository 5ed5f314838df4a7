package manifest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/abilian/hop3/hop3"
)

// readScaling reads [scaling]: process type -> number of instances, or a table
// that lets the number follow the load:
//
//	[scaling.web]
//	min = 1
//	max = 4
//	target-concurrency = 20
//	sleep-after = "15m"
//
// It comes after [run], and also counts what only the Procfile declares.
func readScaling(r *reading) {
	t := r.table.table("scaling")
	if t == nil {
		return
	}
	r.manifest.counts = map[string]int{}
	r.manifest.Scaling = map[string]hop3.Scaling{}
	t.rest(rangeShape(0, hop3.MaxInstances), shapeOf(func(t *table) { readScale(t) }))
	for _, kind := range slices.Sorted(maps.Keys(t.values)) {
		if _, isTable := t.values[kind].(map[string]any); isTable {
			r.readScalingOf(t, kind)
			continue
		}
		r.manifest.counts[kind] = t.integer(kind, 0, hop3.MaxInstances)
	}
}

func (r *reading) readScalingOf(scaling *table, kind string) {
	t := scaling.table(kind)
	s, count := readScale(t)
	if _, given := t.values["count"]; given {
		r.manifest.counts[kind] = count
	}
	_, hasMin := t.values["min"]
	_, hasMax := t.values["max"]
	switch {
	case hasMin && !hasMax:
		t.fail("min", "needs a max")
	case s.TargetConcurrency != 0 && !hasMax:
		t.fail("target-concurrency", "needs a max")
	case hasMax && s.Min > s.Max:
		t.fail("min", "%d is above the max of %d", s.Min, s.Max)
	case hasMax && s.Min == 0:
		s.Min = 1
	}
	if !hop3.ServesHTTP(kind) {
		scaling.fail(kind, "only processes that serve HTTP follow the load or sleep")
	}
	// An app has one process that serves HTTP; "web" means it whatever its
	// type.
	r.manifest.Scaling[hop3.ProcessWeb] = s
}

func readScale(t *table) (s hop3.Scaling, count int) {
	defer t.done()
	return hop3.Scaling{
		Min:               t.integer("min", 1, hop3.MaxInstances),
		Max:               t.integer("max", 1, hop3.MaxInstances),
		TargetConcurrency: t.integer("target-concurrency", 1, 1_000_000),
		SleepAfter:        t.duration("sleep-after", time.Second),
	}, t.integer("count", 0, hop3.MaxInstances)
}

// scale gives each process its number of instances.
func (m *Manifest) scale() {
	for _, kind := range slices.Sorted(maps.Keys(m.counts)) {
		i := processes(m.Processes).index(kind)
		if i < 0 && kind == hop3.ProcessWeb {
			i = slices.IndexFunc(m.Processes, func(p hop3.Process) bool { return hop3.ServesHTTP(p.Type) })
		}
		if i < 0 {
			m.Warnings = append(m.Warnings, fmt.Sprintf("[scaling] counts '%s', which is not a declared process", cut(kind)))
			continue
		}
		m.Processes[i].Count = m.counts[kind]
	}
}
