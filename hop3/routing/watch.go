package routing

import "github.com/abilian/hop3/hop3"

// Watch follows the requests under way to a release. See hop3.Witness.
func (t *Table) Watch(id hop3.ReleaseID) func() hop3.Handover {
	t.mu.Lock()
	defer t.mu.Unlock()
	var watched []*version
	var before hop3.Handover // to routes that the release had earlier
	for _, v := range t.retired[id.App] {
		if v.route.Release == id.Number {
			watched = append(watched, v)
			before.UnderWay += v.inFlight()
			before.Failed += int(v.failures.Load())
		}
	}
	var current *version
	if e := t.apps[id.App]; e != nil {
		if v := e.current.Load(); v != nil && v.route.Release == id.Number {
			watched, current = append(watched, v), v
		}
	}
	return func() (h hop3.Handover) {
		h.UnderWay = before.UnderWay
		if current != nil {
			h.UnderWay += int(current.atRetire.Load())
		}
		for _, v := range watched {
			h.Left += v.inFlight()
			h.Failed += int(v.failures.Load())
		}
		h.Failed -= before.Failed
		return h
	}
}

// Fail notes that the request did not get the answer it was owed. It is called
// before Release.
func (c *Claim) Fail() {
	if c.version.retired.Load() {
		c.version.failures.Add(1)
	}
}
