package caddymodules

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/failures"
	"github.com/abilian/hop3/hop3/routing"
)

// wakeVar is the name under which it is left why an app that fell asleep under
// a request did not wake up.
const wakeVar = "hop3_wake"

// refused answers a request that the app should have answered with a page, and
// remembers why it was not.
func (a *Apps) refused(w http.ResponseWriter, r *http.Request, route *hop3.Route, p page, cause hop3.FailureCause, detail string) error {
	a.remember(r, route, p.Status, cause, detail)
	return a.pages.write(w, r, p)
}

// remember notes that a request failed. Status is what the client got, 0 when
// the answer had begun.
func (a *Apps) remember(r *http.Request, route *hop3.Route, status int, cause hop3.FailureCause, detail string) {
	if a.core == nil {
		return
	}
	j := a.core.failures.Load()
	if j == nil {
		return
	}
	f := hop3.Failure{
		ID: requestID(r), Time: time.Now(), App: route.App, Release: route.Release,
		Host: r.Host, Method: r.Method, Path: r.URL.Path, Client: clientAddress(r),
		Status: status, Cause: cause, Detail: detail, Took: took(r),
	}
	if asked := askedUpstream(r); asked != "" && len(route.Upstreams) > 0 {
		f.Upstream = asked
	}
	j.Add(f)
}

// notAwake is why an app that was asleep did not take a request.
func notAwake(err error) (cause hop3.FailureCause, detail string) {
	var not *routing.NotAwake
	switch {
	case errors.Is(err, errHeldTooLong):
		return hop3.FailureWakeSlow, ""
	case !errors.As(err, &not):
		return hop3.FailureWake, hop3.MessageOf(err)
	case not.Busy:
		return hop3.FailureWakeQueue, ""
	case not.Err == nil:
		return hop3.FailureWake, "" // an attempt before this request failed
	}
	return hop3.FailureWake, hop3.MessageOf(not.Err)
}

// notRunning is why an app has no instance that could be asked.
func notRunning(status string) hop3.FailureCause {
	switch status {
	case hop3.RouteStopped:
		return hop3.FailureStopped
	case hop3.RouteFailed:
		return hop3.FailureNotStarted
	case hop3.RouteAsleep:
		return hop3.FailureAsleep
	}
	return hop3.FailureNoWeb
}

// failureOf says what the error of a request means that no instance answered.
func failureOf(r *http.Request, status int, err error) (cause hop3.FailureCause, detail string) {
	if woken, ok := caddyhttp.GetVar(r.Context(), wakeVar).(error); ok {
		return notAwake(woken)
	}
	text := err.Error()
	switch causeOf(r.Context(), err) {
	case causeSlow:
		return hop3.FailureSlow, text
	case causeRefused:
		return hop3.FailureRefused, text
	case causeConnecting:
		return hop3.FailureConnectSlow, text
	case causeUnreached:
		return hop3.FailureUnreachable, text
	case causeReset:
		return hop3.FailureReset, text
	case causeNone:
		return hop3.FailureNoInstance, text
	case causeBroken:
		return hop3.FailureCut, text
	case causeMalformed:
		if status == http.StatusServiceUnavailable { // Caddy's proxy found none
			return hop3.FailureNoInstance, text
		}
		return hop3.FailureProtocol, text
	}
	return hop3.FailureOther, text
}

// requestID returns the id of a request, "" before it has one.
func requestID(r *http.Request) string {
	if id := r.Header["X-Request-Id"]; len(id) == 1 {
		return id[0]
	}
	return ""
}

// took returns for how long a request has been here.
func took(r *http.Request) time.Duration {
	start, ok := caddyhttp.GetVar(r.Context(), "start_time").(time.Time)
	if !ok {
		return 0
	}
	return time.Since(start)
}

// askedUpstream returns the address that the request was sent to last.
func askedUpstream(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	address, _ := repl.GetString("http.reverse_proxy.upstream.address")
	return strings.TrimPrefix(address, "tcp/")
}

// clientAddress returns who sent a request, as far as a proxy that we trust
// tells.
func clientAddress(r *http.Request) string {
	if client, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ok {
		return client
	}
	return r.RemoteAddr
}

// failureLog is what is remembered of failed requests.
type failureLog struct {
	*failures.Journal
	why string // the URL of explanations, but for the id
}

// whyURL is where the server's users see what happened to a request.
func (c *core) whyURL(id string) string {
	if log := c.failures.Load(); log != nil {
		return log.why + url.PathEscape(id)
	}
	return ""
}
