package routing

import (
	"hash/maphash"
	"maps"
	"strings"
	"sync/atomic"

	"github.com/abilian/hop3/hop3"
)

// found is what the table knows of a host.
type found struct {
	entry *entry
	local bool // hop3.LocalHost
}

// find looks a host up as a request gives it: as it is, then normalized, then
// by the wildcard of its parent. None of it allocates, but for a host in
// capitals.
func (t *Table) find(host string) (found, bool) {
	if f, ok := t.exact.get(host); ok {
		return f, true
	}
	name := normalize(host)
	if f, ok := t.exact.get(name); ok {
		return f, true
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return t.wild.get(parent)
	}
	return found{}, false
}

// owner returns the app that lists a normalized host or wildcard.
func (t *Table) owner(host string) (*entry, bool) {
	index, key := t.indexOf(host)
	f, ok := index.get(key)
	return f.entry, ok
}

func (t *Table) putHost(host string, e *entry) {
	index, key := t.indexOf(host)
	index.change(key, func(m map[string]found) { m[key] = found{e, hop3.LocalHost(host)} })
}

func (t *Table) dropHost(host string) {
	index, key := t.indexOf(host)
	index.change(key, func(m map[string]found) { delete(m, key) })
}

func (t *Table) indexOf(host string) (*hostIndex, string) {
	if parent, ok := strings.CutPrefix(host, "*."); ok {
		return t.wild, parent
	}
	return t.exact, host
}

// normalize is hop3.NormalizeHost without its allocations.
func normalize(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			host = host[1:end]
		}
	} else if i := strings.IndexByte(host, ':'); i >= 0 && strings.LastIndexByte(host, ':') == i {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// shards is how many maps the hosts are spread over. A change copies one of
// them, so that its cost stays that of a few dozen hosts at 10,000.
const shards = 256

// hostIndex is a map that is read without a lock and changed, by one at a
// time, by replacing the part concerned.
type hostIndex struct {
	seed  maphash.Seed
	parts [shards]atomic.Pointer[map[string]found]
}

func newHostIndex() *hostIndex { return &hostIndex{seed: maphash.MakeSeed()} }

func (x *hostIndex) get(key string) (found, bool) {
	m := x.part(key).Load()
	if m == nil {
		return found{}, false
	}
	f, ok := (*m)[key]
	return f, ok
}

func (x *hostIndex) change(key string, edit func(map[string]found)) {
	part := x.part(key)
	next := make(map[string]found)
	if m := part.Load(); m != nil {
		next = maps.Clone(*m)
	}
	edit(next)
	part.Store(&next)
}

func (x *hostIndex) part(key string) *atomic.Pointer[map[string]found] {
	return &x.parts[maphash.String(x.seed, key)%shards]
}
