package caddymodules

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/accesslog"
	"github.com/abilian/hop3/hop3/routing"
)

// openAccessLog begins the access logs of the apps.
func (c *core) openAccessLog() {
	c.access.Store(accesslog.Open(accesslog.Options{Dir: c.Platform.LogDir, Max: c.config.LogMaxSize, Logger: slogOf(c.logger.Named("access"))}))
}

// closeAccessLog writes what is left to write.
func (c *core) closeAccessLog() {
	if log := c.access.Swap(nil); log != nil {
		log.Close()
	}
}

// logAccess writes a request down that has ended, in the log of the app that
// answered it, as this app wants it.
func (c *core) logAccess(r *http.Request, m *meter, status int, took time.Duration, received int64) {
	log := c.access.Load()
	route := m.claim.Route()
	format := c.config.AccessLog
	if route.Policy != nil && route.Policy.AccessLog != "" {
		format = route.Policy.AccessLog
	}
	if log == nil || format == hop3.AccessLogOff {
		return
	}
	as := accesslog.JSON
	if format == hop3.AccessLogCombined {
		as = accesslog.Combined
	}
	if status == 0 {
		status = statusLeft
	}
	remote, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	log.Add(route.App, as, &accesslog.Entry{
		Time: m.arrived, ID: r.Header.Get("X-Request-Id"), Remote: remote,
		Method: r.Method, Host: r.Host, URI: r.RequestURI, Proto: r.Proto,
		Status: status, Sent: m.sent, Received: received, Took: took,
		Release: route.Release, Instance: instanceOf(r, m.claim),
		Referer: r.Referer(), UserAgent: r.UserAgent(),
	})
}

// instanceOf returns the name of the instance that was asked last, "" when none
// was.
func instanceOf(r *http.Request, claim *routing.Claim) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	address, asked := repl.GetString("http.reverse_proxy.upstream.hostport")
	route := claim.Route()
	if !asked || len(route.Names) != len(route.Upstreams) {
		return ""
	}
	for i, upstream := range route.Upstreams {
		if strings.TrimPrefix(upstream, "unix/") == address {
			return route.Names[i]
		}
	}
	return "" // it has gone meanwhile
}
