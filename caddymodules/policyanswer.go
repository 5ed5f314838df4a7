package caddymodules

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// field is a header, or another name, and its value.
type field struct{ name, value string }

// sortedFields returns the fields, the longest name first.
func sortedFields(m map[string]string) []field {
	var out []field
	for _, name := range slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	}) {
		out = append(out, field{name, m[name]})
	}
	return out
}

// errSlowApp is the end of a request whose app took too long to answer.
var errSlowApp = errors.New("the app took too long to begin its answer")

// answerWriter sets the headers of a policy when the answer begins: then those
// of the app are there.
type answerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	policy *policy
	path   string
	hsts   string
	begun  bool
	patience
}

// answer prepares for the answer to a request.
func (p *policy) answer(w http.ResponseWriter, r *http.Request, claim *routing.Claim) *answerWriter {
	a := &answerWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, policy: p, path: r.URL.Path}
	if !claim.Local() && overTLS(r) {
		a.hsts = p.hsts
	}
	return a
}

// WriteHeader begins the answer.
func (a *answerWriter) WriteHeader(status int) {
	if !a.begun && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.begun = true
		a.satisfied()
		a.edit(status)
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (a *answerWriter) Write(b []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(b)
}

// ReadFrom writes a part of the body, without copying where it can.
func (a *answerWriter) ReadFrom(r io.Reader) (int64, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError sends what is written so far.
func (a *answerWriter) FlushError() error {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

func (a *answerWriter) edit(status int) {
	h := a.Header()
	if a.hsts != "" {
		h.Set("Strict-Transport-Security", a.hsts)
	}
	if status < 400 && h.Get("Cache-Control") == "" {
		for _, f := range a.policy.cache {
			if hop3.PathBelow(a.path, f.name) {
				h.Set("Cache-Control", f.value)
				break
			}
		}
	}
	for _, f := range a.policy.headers {
		if f.value == "" {
			delete(h, f.name)
		} else {
			h[f.name] = []string{f.value}
		}
	}
}

// patience is how long we wait for an app to begin its answer. The zero value
// waits forever.
type patience struct {
	timer *time.Timer
	limit time.Duration
	over  atomic.Bool // the answer has begun
}

// begin starts the time of a request that ends with errSlowApp when it is up.
// How long an upload takes is not the app's doing: the time begins anew with
// each part of the body. end is called once the request is over.
func (p *patience) begin(r *http.Request, limit time.Duration) (_ *http.Request, end func()) {
	ctx, cancel := context.WithCancelCause(r.Context())
	p.limit, p.timer = limit, time.AfterFunc(limit, func() { cancel(errSlowApp) })
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &timedBody{r.Body, p}
	}
	return r, func() {
		p.satisfied()
		cancel(nil)
	}
}

// satisfied says that the app has begun its answer.
func (p *patience) satisfied() {
	p.over.Store(true)
	if p.timer != nil {
		p.timer.Stop()
	}
}

type timedBody struct {
	io.ReadCloser
	patience *patience
}

// Read reads a part of the body.
func (b *timedBody) Read(data []byte) (int, error) {
	n, err := b.ReadCloser.Read(data)
	if p := b.patience; n > 0 && !p.over.Load() {
		p.timer.Reset(p.limit)
		if p.over.Load() { // the answer began just now
			p.timer.Stop()
		}
	}
	return n, err
}
