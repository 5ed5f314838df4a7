package routing

import "github.com/abilian/hop3/hop3"

// Load returns what is under way to an app. See hop3.Meter.
func (t *Table) Load(app string) (load hop3.Load) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.apps[app]
	if e == nil {
		return load
	}
	current := e.current.Load()
	add := func(v *version) {
		n := v.requests.Load()
		load.Requests += n >> 32
		if v.route.Release == current.route.Release {
			load.InFlight += inFlight(n)
		} else {
			load.Draining += inFlight(n)
		}
	}
	add(current)
	for _, v := range t.retired[app] {
		add(v)
	}
	return load
}
