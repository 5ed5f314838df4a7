package caddymodules

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3/routing"
)

// attempt is a request's way to an instance, one instance after another. It
// belongs to the request.
type attempt struct {
	all    *instances
	claim  *routing.Claim
	on     *instance // nil for none
	dial   string    // of the last one; "" for none
	broken error     // why an answer that was begun was not ended
}

// begin counts the request in at an instance.
func (at *attempt) begin(dial string) { at.on, at.dial = at.all.begin(dial), dial }

// end counts it out. failed says that the instance is to be passed over for a
// while.
func (at *attempt) end(failed bool) {
	if at.on != nil {
		at.all.end(at.on, failed)
		at.on = nil
	}
}

// tellAddress leaves the address of the last instance where Caddy's reverse
// proxy leaves it, for the access log and for those who look into a failure.
func (at *attempt) tellAddress(r *http.Request) {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && at.dial != "" {
		repl.Set("http.reverse_proxy.upstream.address", at.dial)
		repl.Set("http.reverse_proxy.upstream.hostport", strings.TrimPrefix(at.dial, "unix/"))
	}
}

// choose returns the instance that an attempt goes to, "" when there is none
// at all.
func (at *attempt) choose(dials []string, w http.ResponseWriter, r *http.Request) string {
	switch len(dials) {
	case 0:
		return ""
	case 1:
		return dials[0]
	}
	if p := requestPolicy(r); p != nil && p.Sticky {
		return at.stick(dials, w, r, p)
	}
	return at.all.leastBusy(dials)
}

// ended reports whether a connection was closed by its other end.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
