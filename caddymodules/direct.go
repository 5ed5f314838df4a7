package caddymodules

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// Most requests ask for something and send no body. Caddy's reverse proxy
// serves these by four goroutines and some 130 allocations; here it is the
// one that reads the request. Everything else, uploads, WebSockets, gRPC and
// buffered bodies, is left to Caddy.

const (
	// tryFor is for how long a request that finds no live instance waits and
	// tries again, which covers a restart.
	tryFor   = 5 * time.Second
	tryEvery = 50 * time.Millisecond
	// maxInterim is how many interim answers (1xx) may come before the answer,
	// as for Go's client.
	maxInterim = 5
)

// errNoInstance says that the route has no instance at the moment.
var errNoInstance = errors.New("the app has no instance")

// goesDirect reports whether a request is one of those that need nothing of
// Caddy's reverse proxy.
func goesDirect(r *http.Request, route *hop3.Route) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead ||
		r.ContentLength != 0 || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 {
		return false
	}
	h := r.Header
	if h["Upgrade"] != nil || h["Expect"] != nil || h["Incremental"] != nil {
		return false
	}
	if r.TLS != nil && !r.TLS.HandshakeComplete { // early data, which Caddy marks
		return false
	}
	if r.URL.Opaque != "" || strings.ContainsFunc(target(r.URL), control) || !safeHost(r.Host) {
		return false
	}
	p := route.Policy
	return p == nil || p.Upstream != hop3.UpstreamH2C && !p.BufferRequests && !p.BufferResponses
}

func control(c rune) bool { return c <= ' ' || c == 0x7f }

// safeHost reports whether a host is plain enough to be sent on as it is.
func safeHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return host != ""
}

// direct serves a request by an instance of its app. It returns an error when
// none answered, and panics, as Caddy's reverse proxy does, when an answer was
// begun that cannot be ended.
func (a *Apps) direct(w http.ResponseWriter, r *http.Request, at *attempt) error {
	began := time.Now()
	for {
		err := a.tryDirect(w, r, at)
		switch {
		case err == nil:
			at.tellAddress(r)
			return nil
		case errors.Is(context.Cause(r.Context()), errSlowApp):
			at.tellAddress(r)
			return caddyhttp.Error(http.StatusGatewayTimeout, err)
		case r.Context().Err() != nil:
			w.WriteHeader(statusClientLeft)
			return nil
		case time.Since(began) >= tryFor || !at.mayRepeat(r, err):
			at.tellAddress(r)
			return caddyhttp.Error(statusOf(err), err)
		}
		wait := time.NewTimer(tryEvery)
		select {
		case <-wait.C:
		case <-r.Context().Done():
			wait.Stop()
		}
	}
}

// statusClientLeft is what Caddy notes for a client that left.
const statusClientLeft = 499

// statusOf is the status of a request that no instance answered.
func statusOf(err error) int {
	var slow interface{ Timeout() bool }
	switch {
	case errors.Is(err, errNoInstance):
		return http.StatusServiceUnavailable
	case errors.As(err, &slow) && slow.Timeout():
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// mayRepeat reports whether a request may be sent again. What no instance has
// had is repeated without asking.
func (at *attempt) mayRepeat(r *http.Request, err error) bool {
	var f *failure
	if errors.Is(err, errNoInstance) || errors.As(err, &f) && f.cause.neverSent() {
		return true
	}
	again, _ := (*RepeatOnce)(nil).MatchWithError(r)
	return again
}

// tryDirect sends the request to one instance.
func (a *Apps) tryDirect(w http.ResponseWriter, r *http.Request, at *attempt) error {
	if err := context.Cause(r.Context()); err != nil { // it has waited
		return err
	}
	dial := at.choose(at.upstreams(r), w, r)
	if dial == "" {
		return errNoInstance
	}
	at.begin(dial)
	c, res, err := at.roundTrip(w, r, false)
	if err != nil && c != nil && c.reused && r.Context().Err() == nil {
		// It was closed as the request was on its way, as servers close
		// connections that are idle: that is no failure.
		at.all.dropIdle(at.on)
		c, res, err = at.roundTrip(w, r, true)
	}
	if err != nil {
		at.end(r.Context().Err() == nil)
		return err
	}
	whole := false
	defer func() {
		if !whole {
			_ = c.Close() // the other end is to know that nobody reads on
		}
		at.end(false)
	}()
	announced := len(res.Trailer)
	if err := at.copyAnswer(w, res, c); err != nil {
		c.stop()
		at.broken = err
		at.tellAddress(r)
		_ = http.NewResponseController(w).Flush() // what there is of it
		panic(http.ErrAbortHandler)
	}
	if whole = c.stop() && !res.Close && c.reader.Buffered() == 0; whole {
		at.all.keep(at.on, c)
	}
	finishTrailers(w, res, announced)
	return nil
}

// roundTrip sends the request and reads the head of the answer. From then on
// the connection ends with the request, until its stop is called. It is closed
// when there is an error, and nil when there was none.
func (at *attempt) roundTrip(w http.ResponseWriter, r *http.Request, fresh bool) (*appConn, *http.Response, error) {
	c, err := at.all.connTo(r.Context(), at.on, fresh)
	if err != nil {
		return nil, nil, &failure{connecting(err), err}
	}
	c.stop = context.AfterFunc(r.Context(), c.abort)
	res, err := c.exchange(w, r)
	if err != nil {
		c.stop()
		_ = c.Close()
		return c, nil, &failure{awaiting(err), err}
	}
	return c, res, nil
}

// exchange writes the request and reads the head of its answer.
func (c *appConn) exchange(w http.ResponseWriter, r *http.Request) (*http.Response, error) {
	c.out = appendHead(c.out[:0], r)
	_, werr := c.Write(c.out)
	if cap(c.out) > maxHeadKept {
		c.out = nil
	}
	if _, err := c.reader.Peek(1); err != nil { // it may have answered before it had read all
		return nil, errors.Join(werr, err)
	}
	for interim := 0; ; interim++ {
		res, err := c.answer(r)
		switch {
		case err != nil:
			c.reused = false // it has answered something
			return nil, err
		case res.StatusCode >= 200:
			return res, nil
		case res.StatusCode < 100 || res.StatusCode == http.StatusSwitchingProtocols || interim == maxInterim:
			c.reused = false
			return nil, errProtocol
		}
		sendInterim(w, res)
	}
}

// maxHeadKept is how much memory for heads a connection keeps.
const maxHeadKept = 8 << 10

// errProtocol says that an instance answered what nobody asked for.
var errProtocol = errors.New("invalid answer: it changes the protocol, or never ends to announce itself")

// sendInterim passes an interim answer on, such as early hints.
func sendInterim(w http.ResponseWriter, res *http.Response) {
	h := w.Header()
	ours := h.Clone()
	dropHopHeaders(res.Header)
	addHeaders(h, res.Header)
	w.WriteHeader(res.StatusCode)
	clear(h)
	for name, values := range ours {
		h[name] = values
	}
}

// addHeaders adds the fields of an answer to those that are there.
func addHeaders(to, from http.Header) {
	for name, values := range from {
		if before, there := to[name]; there {
			values = append(before, values...)
		}
		to[name] = values
	}
}

// copyBuffers are for bodies of answers.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyAnswer passes an answer on. What may never end is passed on as it comes.
func (at *attempt) copyAnswer(w http.ResponseWriter, res *http.Response, c *appConn) error {
	h := w.Header()
	delete(h, "Server")
	via := "1.1 Caddy"
	if res.ProtoMinor == 0 {
		via = "1.0 Caddy"
	}
	h["Via"] = append(h["Via"], via)
	dropHopHeaders(res.Header)
	addHeaders(h, res.Header)
	if len(res.Trailer) > 0 {
		h.Add("Trailer", strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", "))
	}
	w.WriteHeader(res.StatusCode)
	if res.Body == http.NoBody {
		return nil
	}
	flush := func() error { return nil }
	if res.ContentLength < 0 || isEventStream(res.Header) || caddyhttp.IsIncremental(res.Header) {
		flush = http.NewResponseController(w).Flush
		if c.reader.Buffered() == 0 {
			if err := flush(); err != nil {
				return &failure{causeClientLeft, err}
			}
		}
	}
	buffer := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buffer)
	for {
		n, err := res.Body.Read(buffer[:])
		if n > 0 {
			if _, werr := w.Write(buffer[:n]); werr != nil {
				return &failure{causeClientLeft, werr}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &failure{inBody(err), err}
		}
		if err := flush(); err != nil {
			return &failure{causeClientLeft, err}
		}
	}
}

func isEventStream(h http.Header) bool {
	if len(h["Content-Type"]) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(h["Content-Type"][0], ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// finishTrailers passes on what came after the body. announced is how many
// were said to come.
func finishTrailers(w http.ResponseWriter, res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	// Without this, a short body would get a length, and could have no trailer.
	_ = http.NewResponseController(w).Flush() // a client that left needs none
	h := w.Header()
	for name, values := range res.Trailer {
		if len(res.Trailer) > announced {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// upstreams returns where the request may go now, having waited for an app
// that has just fallen asleep.
func (at *attempt) upstreams(r *http.Request) []string {
	route, err := nextRoute(r, at.claim)
	if err != nil || route == nil {
		return nil
	}
	return route.Upstreams
}

// nextRoute returns the route of a request as it is now; nil when there is
// none any more.
func nextRoute(r *http.Request, claim *routing.Claim) (*hop3.Route, error) {
	route := claim.Follow()
	if route != nil && route.Status == hop3.RouteAsleep {
		// It fell asleep between the request's arrival and this attempt.
		woken, err := wake(r, claim)
		if err != nil {
			caddyhttp.SetVar(r.Context(), wakeVar, err)
		}
		return woken, err
	}
	return route, nil
}
