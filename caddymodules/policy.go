package caddymodules

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// policyVar is the name under which the policy of a request is left for those
// who see it later: the choice of the instance, the pages.
const policyVar = "hop3_policy"

// policy is an app's HTTPPolicy ready to be applied. It is made once for each
// route that is set.
type policy struct {
	*hop3.HTTPPolicy
	app                string
	dir                string // of the release's files
	canonical          string // "" also when it is not one of the app's hosts
	hsts               string
	allow, deny, spare networks
	headers            []field
	cache              []field // by path prefix, the longest first
	visitors           *visitors
	passwords          *passwords
	secret             [32]byte // signs the cookies
	firewall           *firewall
}

// policyOf returns the policy of the claim's route, which has one.
func (a *Apps) policyOf(claim *routing.Claim) *policy {
	return claim.Prepared(func(route *hop3.Route, before any) any {
		old, _ := before.(*policy)
		p := newPolicy(route, old)
		p.secret = a.cookieSecret()
		a.fence(p)
		return p
	}).(*policy)
}

// newPolicy makes a route's policy. What clients have used up of the old one's
// rate limit, and what is known of their passwords, is taken over.
func newPolicy(route *hop3.Route, old *policy) *policy {
	p := &policy{HTTPPolicy: route.Policy, app: route.App, dir: route.Dir,
		allow: parseNetworks(route.Policy.Allow), deny: parseNetworks(route.Policy.Deny),
		headers: sortedFields(route.Policy.Headers), cache: sortedFields(route.Policy.CacheControl)}
	for _, host := range route.Hosts {
		if host == p.CanonicalHost {
			p.canonical = host
		}
	}
	if p.HSTS != nil {
		p.hsts = p.HSTS.String()
	}
	if p.Maintenance != nil {
		p.spare = parseNetworks(p.Maintenance.Allow)
	}
	if p.RateLimit != nil {
		p.visitors = newVisitors(*p.RateLimit)
		if old != nil && old.visitors != nil && old.visitors.limit == *p.RateLimit {
			p.visitors = old.visitors
		}
	}
	if len(p.BasicAuth) > 0 {
		p.passwords = newPasswords(p.BasicAuth)
		if old != nil && old.passwords != nil {
			p.passwords.remember(old.passwords)
		}
	}
	return p
}

// requestPolicy returns the policy under which a request is served, nil for
// none.
func requestPolicy(r *http.Request) *policy {
	p, _ := caddyhttp.GetVar(r.Context(), policyVar).(*policy)
	return p
}

// servePolicy serves a request of an app that has a policy. The order is that
// of hop3.HTTPPolicy. A request that another app sent on is not redirected,
// and goes no further.
func (a *Apps) servePolicy(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, claim *routing.Claim, sentOn bool) error {
	p := a.policyOf(claim)
	caddyhttp.SetVar(r.Context(), policyVar, p)
	if done, err := a.tryOut(w, r, next, claim, p); done {
		return err
	}
	answer := p.answer(w, r, claim)
	if done, err := a.refuse(answer, r, claim, p, sentOn); done {
		return err
	}
	if route := p.routeFor(r.URL.Path); route != nil && !sentOn {
		return a.sendOn(answer, r, next, route)
	}
	if p.Timeout > 0 {
		var end func()
		r, end = answer.begin(r, p.Timeout)
		defer end()
	}
	if encoder := a.encoders[strings.Join(p.Encode, " ")]; encoder != nil {
		return encoder.ServeHTTP(answer, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return a.serve(w, r, next, claim)
		}))
	}
	return a.serve(answer, r, next, claim)
}

// refuse answers a request that does not get to the app. done says that it
// did.
func (a *Apps) refuse(w http.ResponseWriter, r *http.Request, claim *routing.Claim, p *policy, sentOn bool) (done bool, err error) {
	if done, err := a.challenge(w, r, p); done {
		return true, err
	}
	if !p.admits(r) {
		return true, a.pages.write(w, r, pageForbidden)
	}
	if p.closedTo(r) {
		return true, a.pages.write(w, r, maintenancePage(p.Maintenance))
	}
	if !sentOn {
		if url := a.redirection(r, claim, p); url != "" {
			http.Redirect(w, r, url, http.StatusPermanentRedirect)
			return true, nil
		}
	}
	// Before the password: it also bounds how often one can be guessed.
	if wait := p.exceeds(r); wait > 0 {
		return true, a.pages.write(w, r, tooManyPage(wait))
	}
	if done, err := a.authenticate(w, r, p); done {
		return true, err
	}
	if !p.limitBody(w, r) {
		return true, a.pages.write(w, r, pageTooLarge)
	}
	return a.inspect(w, r, p)
}

// redirection returns where a request is to go instead, "" when it may stay.
// Both reasons to redirect make one redirect.
func (a *Apps) redirection(r *http.Request, claim *routing.Claim, p *policy) string {
	upgrade := a.wantsHTTPS(r, claim)
	host := hostOnly(r.Host)
	move := p.canonical != "" && !claim.Local() && hop3.NormalizeHost(r.Host) != p.canonical
	if move && strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
		move = false
	}
	switch {
	case !upgrade && !move:
		return ""
	case move:
		host = p.canonical
	}
	scheme := "http"
	if upgrade || overTLS(r) {
		scheme = "https"
	}
	if port := a.redirectPort(r, scheme); port != "" {
		host += ":" + port
	}
	return scheme + "://" + host + r.URL.RequestURI()
}

// redirectPort is the port of a redirect's target, "" for the usual one.
func (a *Apps) redirectPort(r *http.Request, scheme string) string {
	if scheme == "https" && r.TLS == nil && a.HTTPSPort != 0 { // behind a proxy that has its own
		if a.HTTPSPort == 443 || overTLS(r) {
			return ""
		}
		return strconv.Itoa(a.HTTPSPort)
	}
	if i := strings.LastIndexByte(r.Host, ':'); i > strings.LastIndexByte(r.Host, ']') {
		return r.Host[i+1:]
	}
	return ""
}

// overTLS reports whether the client's connection is encrypted, as far as we
// or a proxy that we trust can tell.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || trustedClient(r) && r.Header.Get("X-Forwarded-Proto") == "https"
}

// routeFor returns the route that a path takes to another app, nil for none.
func (p *policy) routeFor(path string) *hop3.HTTPRoute {
	for i, route := range p.Routes { // the longest prefix is the first
		if hop3.PathBelow(path, route.Prefix) {
			return &p.Routes[i]
		}
	}
	return nil
}

// sendOn serves a request by another app, under that app's policy too.
func (a *Apps) sendOn(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, route *hop3.HTTPRoute) error {
	claim, ok := a.table.ClaimApp(route.App)
	if !ok {
		return a.unknown(w, r)
	}
	defer letGo(r, claim)
	if route.Strip {
		r = stripPrefix(r, route.Prefix)
	}
	if claim.Route().Policy != nil {
		return a.servePolicy(w, r, next, claim, true)
	}
	caddyhttp.SetVar(r.Context(), policyVar, nil)
	return a.serve(w, r, next, claim)
}

// stripPrefix takes a prefix that the path has off it, and tells the app.
func stripPrefix(r *http.Request, prefix string) *http.Request {
	r.Header["X-Forwarded-Prefix"] = []string{prefix}
	changed, u := *r, *r.URL
	u.Path = "/" + strings.TrimLeft(strings.TrimPrefix(u.Path, prefix), "/")
	if raw, ok := strings.CutPrefix(u.RawPath, prefix); ok && (raw == "" || raw[0] == '/') {
		u.RawPath = "/" + strings.TrimLeft(raw, "/")
	} else {
		u.RawPath = ""
	}
	changed.URL = &u
	changed.RequestURI = u.RequestURI()
	return &changed
}
