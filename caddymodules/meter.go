package caddymodules

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3/routing"
)

// meterVar is the name under which a request that another release, or app, may
// answer than the one it came for has its meter.
const meterVar = "hop3_meter"

// statusLeft is what Caddy notes for a client that left before the answer.
const statusLeft = 499

// meter follows one request to its end. It stands in for the writer of the
// answer.
type meter struct {
	http.ResponseWriter
	core    *core            // nil where only the routing is Hop3's
	claim   *routing.Claim   // on what answers
	others  []*routing.Claim // released with the end
	arrived time.Time
	status  int // 0 until the answer has begun
	sent    int64
	body    *countedBody // nil when the request has none
	err     error        // of the handler
}

// meters saves a request the memory of its meter.
var meters = sync.Pool{New: func() any { return new(meter) }}

// measure begins to follow a request.
func (a *Apps) measure(w http.ResponseWriter, r *http.Request, claim *routing.Claim) *meter {
	m := meters.Get().(*meter)
	m.ResponseWriter, m.core, m.claim, m.arrived = w, a.core, claim, time.Now()
	if r.ContentLength != 0 && r.Body != nil {
		// Not kept for another request: a transport may still read from it
		// when its handler has returned.
		m.body = &countedBody{ReadCloser: r.Body}
		r.Body = m.body
	}
	if claim.Route().Policy != nil {
		caddyhttp.SetVar(r.Context(), meterVar, m)
	}
	return m
}

// letGo releases a claim on what answers a request in place of what it came
// for, once the request is counted there.
func letGo(r *http.Request, claim *routing.Claim) {
	m, ok := caddyhttp.GetVar(r.Context(), meterVar).(*meter)
	if !ok {
		claim.Release()
		return
	}
	if len(m.others) == 0 { // the innermost
		m.claim = claim
	}
	m.others = append(m.others, claim)
}

// end counts the request. It is deferred, and lets a panic go on.
func (m *meter) end(r *http.Request) {
	broken := recover()
	status := m.outcome(r, broken != nil)
	took, received := time.Since(m.arrived), m.body.count()
	m.claim.Count(status, took, received, m.sent)
	if m.core != nil {
		m.core.logAccess(r, m, status, took, received)
	}
	for _, claim := range m.others {
		claim.Release()
	}
	if broken != nil {
		panic(broken)
	}
	*m = meter{}
	meters.Put(m)
}

// outcome is the status that the request is answered with, 0 when nobody
// waited for it any more.
func (m *meter) outcome(r *http.Request, broken bool) int {
	var known caddyhttp.HandlerError
	switch {
	case r.Context().Err() != nil && (m.status == 0 || m.status == statusLeft):
		return 0
	case m.status != 0:
		return m.status
	case errors.As(m.err, &known) && known.StatusCode != 0:
		return known.StatusCode // Caddy writes it
	case m.err != nil || broken:
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// WriteHeader begins the answer.
func (m *meter) WriteHeader(status int) {
	if m.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		m.status = status
	}
	m.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (m *meter) Write(b []byte) (int, error) {
	if m.status == 0 {
		m.status = http.StatusOK
	}
	n, err := m.ResponseWriter.Write(b)
	m.sent += int64(n)
	return n, err
}

// ReadFrom writes a part of the body, without copying where it can.
func (m *meter) ReadFrom(r io.Reader) (int64, error) {
	if m.status == 0 {
		m.status = http.StatusOK
	}
	n, err := io.Copy(m.ResponseWriter, r)
	m.sent += n
	return n, err
}

// Unwrap returns what else the writer can, to http.ResponseController.
func (m *meter) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// countedBody counts what is read of a request's body.
type countedBody struct {
	io.ReadCloser
	read atomic.Int64
}

// Read reads a part of the body.
func (b *countedBody) Read(data []byte) (int, error) {
	n, err := b.ReadCloser.Read(data)
	b.read.Add(int64(n))
	return n, err
}

func (b *countedBody) count() int64 {
	if b == nil {
		return 0
	}
	return b.read.Load()
}
