package caddymodules

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// attemptVar is the name under which hop3_apps leaves the request's attempt for
// the upstream source and the selection.
const attemptVar = "hop3_attempt"

func requestAttempt(r *http.Request) *attempt {
	at, _ := caddyhttp.GetVar(r.Context(), attemptVar).(*attempt)
	return at
}

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
	at := requestAttempt(r)
	if at == nil {
		return nil, nil
	}
	route, err := nextRoute(r, at.claim)
	if err != nil || route == nil {
		return nil, err
	}
	upstreams := make([]*reverseproxy.Upstream, len(route.Upstreams))
	for i, dial := range route.Upstreams {
		upstreams[i] = &reverseproxy.Upstream{Dial: dial}
	}
	return upstreams, nil
}

// repeatedVar is the name under which it is noted how often a request was
// repeated.
const repeatedVar = "hop3_repeated"

// RepeatOnce has Caddy's reverse proxy repeat a GET or HEAD that an instance
// did not answer once it had it: one that ended meanwhile is no reason for an
// error. Not more often than once, unless the app's policy says how often, or a request that kills its instance would kill
// all of them, as often as they come back. What no instance has had, because
// none could be reached, is repeated without asking.
type RepeatOnce struct{}

// CaddyModule returns the Caddy module information.
func (*RepeatOnce) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.hop3_repeat_once", New: func() caddy.Module { return new(RepeatOnce) }}
}

// MatchWithError reports whether the request may be repeated, which is then
// noted.
func (*RepeatOnce) MatchWithError(r *http.Request) (bool, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false, nil
	}
	most := 1
	if p := requestPolicy(r); p != nil && p.Retries != nil {
		most = *p.Retries
	}
	repeated, _ := caddyhttp.GetVar(r.Context(), repeatedVar).(int)
	if repeated >= most {
		return false, nil
	}
	caddyhttp.SetVar(r.Context(), repeatedVar, repeated+1)
	return true, nil
}

// Selection chooses the upstream with the fewest requests among those that
// did not just fail, whatever served them.
type Selection struct{}

// CaddyModule returns the Caddy module information.
func (*Selection) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.selection_policies.hop3", New: func() caddy.Module { return new(Selection) }}
}

// Select returns an upstream; nil when there is none at all. That it is asked
// again means that the instance of before failed.
func (*Selection) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	at := requestAttempt(r)
	if at == nil {
		return nil
	}
	at.end(true)
	dials := make([]string, len(pool))
	for i, u := range pool {
		dials[i] = u.Dial
	}
	dial := at.choose(dials, w, r)
	for _, u := range pool {
		if u.Dial == dial {
			at.begin(dial)
			return u
		}
	}
	return nil
}
