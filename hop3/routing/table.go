// Package routing is the routing table: which release answers for which host.
//
// The table is a projection of the database, held in memory. Requests read it
// without a lock; a change never touches more than the app it is about.
package routing

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/abilian/hop3/hop3"
)

// Table sends hosts to releases. It is the hop3.Proxy of the Caddy around us.
// All methods are safe for concurrent use.
type Table struct {
	exact *hostIndex
	wild  *hostIndex // "*.example.com" under "example.com"
	ready atomic.Bool
	wakes wakes

	mu      sync.Mutex // held by whoever changes the table
	apps    map[string]*entry
	retired map[string][]*version // by app: not current any more, requests under way
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{
		exact:   newHostIndex(),
		wild:    newHostIndex(),
		apps:    make(map[string]*entry),
		retired: make(map[string][]*version),
	}
	t.wakes.woken = t.countWake
	return t
}

// Name returns "caddy".
func (t *Table) Name() string { return "caddy" }

// SetReady says that the table holds all the apps there are: from now on a
// host that is not in it is unknown, not late.
func (t *Table) SetReady() { t.ready.Store(true) }

// Ready reports whether SetReady was called.
func (t *Table) Ready() bool { return t.ready.Load() }

// Set makes r the route of its app. See hop3.Proxy.
func (t *Table) Set(_ context.Context, r hop3.Route) error {
	r.Hosts, r.Upstreams, r.Static, r.Names = slices.Clone(r.Hosts), slices.Clone(r.Upstreams), slices.Clone(r.Static), slices.Clone(r.Names)
	for _, host := range r.Hosts {
		if err := hop3.ValidateHost(host); err != nil {
			return err
		}
	}
	next := newVersion(r, t.forget)
	old, err := t.swap(next)
	if err != nil {
		return err
	}
	if old != nil {
		retire(old, next)
	}
	t.wakes.forget(r.App) // what kept it from waking may be gone
	return nil
}

// Remove takes an app's route away. See hop3.Proxy.
func (t *Table) Remove(_ context.Context, app string) error {
	t.mu.Lock()
	e := t.apps[app]
	if e == nil {
		t.mu.Unlock()
		return nil
	}
	delete(t.apps, app)
	t.wakes.forget(app)
	old := e.current.Load()
	// A claim that finds the entry empty looks the host up again, so the host
	// goes first.
	for _, host := range old.route.Hosts {
		t.dropHost(host)
	}
	e.current.Store(nil)
	t.keep(old, nil)
	t.mu.Unlock()
	retire(old, nil)
	return nil
}

// Lookup returns the route a request for host would take now; nil when the
// host is unknown. The route must not be changed.
func (t *Table) Lookup(host string) *hop3.Route {
	found, ok := t.find(host)
	if !ok {
		return nil
	}
	v := found.entry.current.Load()
	if v == nil {
		return nil
	}
	return &v.route
}

// Explicit reports whether an app lists exactly this name: a wildcard does not
// count. It decides who may have a certificate.
func (t *Table) Explicit(host string) bool {
	_, ok := t.exact.get(normalize(host))
	return ok
}

var (
	_ hop3.Proxy   = (*Table)(nil)
	_ hop3.Meter   = (*Table)(nil)
	_ hop3.Witness = (*Table)(nil)

	_ hop3.Recorder = (*Table)(nil)
)

// Private

// swap makes next the current version of its app and returns the one before,
// nil for a new app.
func (t *Table) swap(next *version) (old *version, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	app := next.route.App
	for _, host := range next.route.Hosts {
		if owner, ok := t.owner(host); ok && owner.app != app {
			return nil, hop3.Errorf(hop3.CodeConflict, "the host %s belongs to the app '%s'", host, owner.app)
		}
	}
	e := t.apps[app]
	if e == nil {
		e = &entry{app: app}
		t.apps[app] = e
	}
	old = e.current.Load()
	next.canary = t.canaryFor(next.route, old)
	if c := next.canary; c != nil && c.version.stats == nil {
		c.version.stats = e.statsFor(c.version.route.Release)
	}
	next.stats = e.statsFor(next.route.Release)
	if old != nil {
		t.keep(old, next)
	}
	e.current.Store(next)
	for _, host := range next.route.Hosts {
		if owner, _ := t.owner(host); owner == nil {
			t.putHost(host, e)
		}
	}
	if old != nil {
		for _, host := range old.route.Hosts {
			if !slices.Contains(next.route.Hosts, host) {
				t.dropHost(host)
			}
		}
	}
	return old, nil
}

// keep remembers a version, and what was tried out beside it, until the last
// request has ended. The caller holds the lock and retires the version after
// letting go of it.
func (t *Table) keep(v, next *version) {
	app := v.route.App
	t.retired[app] = append(t.retired[app], v)
	if tried := v.dropped(next); tried != nil {
		t.retired[app] = append(t.retired[app], tried)
	}
}

// retire says that a version, and what was tried out beside it, is not current
// any more.
func retire(v, next *version) {
	v.retire()
	if tried := v.dropped(next); tried != nil {
		tried.retire()
	}
}

// forget is called once by a version whose last request has ended.
func (t *Table) forget(v *version) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v.stats.versions--
	v.stats.owner.fold()
	app := v.route.App
	left := slices.DeleteFunc(t.retired[app], func(o *version) bool { return o == v })
	if len(left) == 0 {
		delete(t.retired, app)
		return
	}
	t.retired[app] = left
}
