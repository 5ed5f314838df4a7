package routing

import (
	"sync"

	"github.com/abilian/hop3/hop3"
)

// prepared is what a handler made of a route, once.
type prepared struct {
	once  sync.Once
	value any
}

// Prepared returns what make made of the claim's route. It is called once for
// each route that was set, at the first request that asks; before is what it
// had made of the app's route before that, or nil.
func (c *Claim) Prepared(make func(route *hop3.Route, before any) any) any {
	v, e := c.version, c.found.entry
	v.prepared.once.Do(func() {
		var before any
		if last := e.prepared.Load(); last != nil {
			before = *last
		}
		v.prepared.value = make(&v.route, before)
		e.prepared.Store(&v.prepared.value)
	})
	return v.prepared.value
}

// ClaimApp counts a request in for an app by its name, as Claim does by a
// host. It returns false when there is no such app.
func (t *Table) ClaimApp(app string) (*Claim, bool) {
	found, v := t.claimApp(app)
	if v == nil {
		return nil, false
	}
	return &Claim{table: t, found: found, version: v}, true
}

func (t *Table) claimApp(app string) (found, *version) {
	t.mu.Lock()
	e := t.apps[app]
	t.mu.Unlock()
	if e == nil {
		return found{}, nil
	}
	return found{entry: e}, e.acquire()
}
