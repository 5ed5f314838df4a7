package caddymodules

import (
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// Apps answers the requests for apps: it looks the host up in the routing
// table, and lets Caddy's reverse proxy or file server do the rest. Hosts that
// are no app's get a page that says so.
type Apps struct {
	// HTTPSPort is where plain requests for real domains are redirected to.
	// 0, the default, does not redirect.
	HTTPSPort int `json:"https_port,omitempty"`

	table     *routing.Table
	instances *instances                              // nil until provisioned
	core      *core                                   // nil where only the routing is Hop3's
	proxy     caddyhttp.MiddlewareHandler             // of apps without a policy
	proxies   map[profile]caddyhttp.MiddlewareHandler // of those with one
	encoders  map[string]caddyhttp.MiddlewareHandler
	files     *staticFiles
	pages     *pages
	logger    *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Apps) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.hop3_apps", New: func() caddy.Module { return new(Apps) }}
}

// Provision loads the reverse proxy and the file server that serve all apps.
func (a *Apps) Provision(ctx caddy.Context) (err error) {
	a.logger = ctx.Logger()
	if a.table, err = routingTable(ctx); err != nil {
		return err
	}
	if app, err := ctx.App("hop3"); err == nil {
		if own, ok := app.(*App); ok {
			a.core = own.core
		}
	}
	if a.pages, err = newPages(a.core); err != nil {
		return err
	}
	if err = a.loadProxies(ctx); err != nil {
		return err
	}
	if a.encoders, err = loadEncoders(ctx); err != nil {
		return err
	}
	if a.files, err = newStaticFiles(ctx); err != nil {
		return err
	}
	a.instances, err = instancesOf(a.table)
	return err
}

// Cleanup lets go of the instances.
func (a *Apps) Cleanup() error {
	if a.instances == nil {
		return nil
	}
	return forgetInstances(a.table)
}

// ServeHTTP answers one request.
func (a *Apps) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	claim, ok := a.table.Claim(r.Host)
	if !ok {
		return a.unknown(w, r)
	}
	// Held until the last byte, also of a WebSocket: an old release is not
	// stopped before.
	defer claim.Release()
	a.relayed(r)
	m := a.measure(w, r, claim)
	defer m.end(r)
	m.err = a.admit(m, r, next, claim)
	return m.err
}

// Private

// admit answers a request for an app.
func (a *Apps) admit(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, claim *routing.Claim) error {
	if a.misdirected(r, claim) {
		return a.pages.write(w, r, pageMisdirected)
	}
	cleanHeaders(r)
	if claim.Route().Policy != nil {
		return a.servePolicy(w, r, next, claim, false)
	}
	if a.wantsHTTPS(r, claim) {
		a.redirect(w, r)
		return nil
	}
	return a.serve(w, r, next, claim)
}

// serve answers a request that its app is to have.
func (a *Apps) serve(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, claim *routing.Claim) error {
	route := claim.Route()
	if route.Status == hop3.RouteAsleep {
		var done bool
		if route, done = a.hold(w, r, claim); done {
			return nil
		}
	}
	if site, name, ok := mapped(r, route); ok {
		return a.serveMapped(w, r, site, name)
	}
	switch {
	case len(route.Upstreams) > 0:
		return a.forward(w, r, next, claim)
	case route.StaticRoot != "":
		return a.serveFile(w, r, route.StaticRoot)
	default:
		return a.refused(w, r, route, stoppedPage(route.Status), notRunning(route.Status), "")
	}
}

func (a *Apps) unknown(w http.ResponseWriter, r *http.Request) error {
	if !a.table.Ready() {
		return a.pages.write(w, r, pageStarting)
	}
	return a.pages.write(w, r, pageUnknown)
}

// misdirected reports whether the certificate was asked for another app's
// name: a browser that reuses a connection must not reach a second app by it.
func (a *Apps) misdirected(r *http.Request, claim *routing.Claim) bool {
	if r.TLS == nil || r.TLS.ServerName == "" || r.TLS.ServerName == r.Host {
		return false
	}
	other := a.table.Lookup(r.TLS.ServerName)
	return other != nil && other.App != claim.Route().App
}

// wantsHTTPS reports whether the request came in clear by a name that can
// have a certificate people trust, and the app did not ask for that.
func (a *Apps) wantsHTTPS(r *http.Request, claim *routing.Claim) bool {
	if r.TLS != nil || a.HTTPSPort == 0 || claim.Local() || claim.Route().AllowHTTP {
		return false
	}
	return !trustedClient(r) || r.Header.Get("X-Forwarded-Proto") != "https"
}

func (a *Apps) redirect(w http.ResponseWriter, r *http.Request) {
	host := hostOnly(r.Host)
	if a.HTTPSPort != 443 {
		host += ":" + strconv.Itoa(a.HTTPSPort)
	}
	http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
}
