package caddymodules

import (
	"math/rand/v2"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// claimVar is the name under which hop3_apps leaves the request's claim for
// the upstream source.
const claimVar = "hop3_claim"

// Upstreams tells Caddy's reverse proxy where a request goes. It is asked
// before each attempt, and so a request that waits for an instance, or meets
// a dead one, goes to the release that is live by then.
type Upstreams struct{}

// CaddyModule returns the Caddy module information.
func (*Upstreams) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams.hop3", New: func() caddy.Module { return new(Upstreams) }}
}

// GetUpstreams returns the upstreams of the request's app. They are new ones
// at each call, because the proxy writes into them.
func (*Upstreams) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	claim, ok := caddyhttp.GetVar(r.Context(), claimVar).(*routing.Claim)
	if !ok {
		return nil, nil
	}
	route := claim.Follow()
	if route != nil && route.Status == hop3.RouteAsleep {
		// It fell asleep between the request's arrival and this attempt.
		var err error
		if route, err = wake(r, claim); err != nil {
			return nil, err
		}
	}
	if route == nil {
		return nil, nil
	}
	upstreams := make([]*reverseproxy.Upstream, len(route.Upstreams))
	for i, dial := range route.Upstreams {
		upstreams[i] = &reverseproxy.Upstream{Dial: dial}
	}
	return upstreams, nil
}

// Selection chooses the upstream with the fewest requests among those that
// did not just fail. When all did, it tries one of them anyway: an instance
// that was restarted answers again sooner than its failure is forgotten.
type Selection struct {
	leastConn reverseproxy.LeastConnSelection
}

// CaddyModule returns the Caddy module information.
func (*Selection) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.selection_policies.hop3", New: func() caddy.Module { return new(Selection) }}
}

// Select returns an upstream; nil when there is none at all.
func (s *Selection) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	switch len(pool) {
	case 0:
		return nil
	case 1:
		return pool[0]
	}
	if u := s.leastConn.Select(pool, r, w); u != nil {
		return u
	}
	return pool[rand.IntN(len(pool))]
}
