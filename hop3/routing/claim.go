package routing

import (
	"context"

	"github.com/abilian/hop3/hop3"
)

// Claim is a request on its way: as long as it is not released, Drain waits
// for the release it went to. A Claim belongs to one request and is not safe
// for concurrent use.
type Claim struct {
	table   *Table
	host    string // "" for a claim on an app by its name
	found   found
	version *version
	tried   *canary // nil but for a claim on a release that is tried out
}

// Claim counts a request for host in. It returns false when the host is
// unknown.
func (t *Table) Claim(host string) (*Claim, bool) {
	found, v := t.claim(host)
	if v == nil {
		return nil, false
	}
	return &Claim{table: t, host: host, found: found, version: v}, true
}

// Route returns the route the request goes to. It must not be changed.
func (c *Claim) Route() *hop3.Route { return &c.version.route }

// Local reports whether the host the request asked for is a hop3.LocalHost.
func (c *Claim) Local() bool { return c.found.local }

// Follow moves the claim to the route its host has now, and returns it. It is
// called before each attempt, so that a request which waited meets the release
// that is live, not the one that was. It returns nil, and the claim stays
// where it is, when nobody answers for the host any more.
func (c *Claim) Follow() *hop3.Route {
	if c.found.entry.current.Load() == c.version || c.tried != nil && !c.version.retired.Load() {
		return &c.version.route
	}
	found, v := c.again()
	if v == nil {
		return nil
	}
	c.version.release()
	c.found, c.version, c.tried = found, v, nil
	return &v.route
}

// Wake waits until the app that the request goes to takes requests and returns
// the route it has then, as Follow does. See Table.Wake for the errors. The
// request is held for no longer than ctx lasts.
func (c *Claim) Wake(ctx context.Context) (*hop3.Route, error) {
	for {
		route := c.Follow()
		if route == nil || route.Status != hop3.RouteAsleep {
			return route, nil
		}
		if err := c.table.Wake(ctx, route.App); err != nil {
			return route, err
		}
		if ctx.Err() != nil { // a Waker that does nothing must not keep us here
			return route, context.Cause(ctx)
		}
	}
}

// Release counts the request out. It is called exactly once, after the last
// use of the claim.
func (c *Claim) Release() { c.version.release() }

func (c *Claim) again() (found, *version) {
	if c.host == "" {
		return c.table.claimApp(c.found.entry.app)
	}
	return c.table.claim(c.host)
}

func (t *Table) claim(host string) (found, *version) {
	for {
		f, ok := t.find(host)
		if !ok {
			return found{}, nil
		}
		if v := f.entry.acquire(); v != nil {
			return f, v
		}
	}
}
