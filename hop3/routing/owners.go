package routing

// AppOf returns the app that answers for a host, "" when none does. exactly says
// that it lists this name, or this wildcard, and not a wildcard over it.
func (t *Table) AppOf(host string) (app string, exactly bool) {
	if e, ok := t.owner(normalize(host)); ok {
		return e.app, true
	}
	if f, ok := t.find(host); ok {
		return f.entry.app, false
	}
	return "", false
}

// Hosts returns all hosts of all apps, in no order.
func (t *Table) Hosts() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var hosts []string
	for _, e := range t.apps {
		if v := e.current.Load(); v != nil {
			hosts = append(hosts, v.route.Hosts...)
		}
	}
	return hosts
}
