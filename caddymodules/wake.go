package caddymodules

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// maxHold is how long a request may wait for its app to wake up. The platform
// bounds the start itself; a client has rarely more patience than this.
const maxHold = 2 * time.Minute

var errHeldTooLong = errors.New("the app takes too long to wake up")

// hold keeps a request for an app that is asleep until the app is awake, and
// returns its route then. Nothing of the body is read meanwhile, so a client
// that sends much is held back by its own connection. done says that the
// request was answered here, or has nobody left who waits for it.
func (a *Apps) hold(w http.ResponseWriter, r *http.Request, claim *routing.Claim) (route *hop3.Route, done bool) {
	if !mayWake(r) {
		_ = a.refused(w, r, claim.Route(), stoppedPage(hop3.RouteAsleep), hop3.FailureAsleep, "")
		return nil, true
	}
	route, err := wake(r, claim)
	switch {
	case r.Context().Err() != nil:
		return nil, true
	case err != nil:
		cause, detail := notAwake(err)
		_ = a.refused(w, r, claim.Route(), notAwakePage(err), cause, detail)
		return nil, true
	case route == nil: // the app was removed meanwhile
		_ = a.unknown(w, r)
		return nil, true
	}
	return route, false
}

// wake waits until the request's app is awake, for as long as its client does.
func wake(r *http.Request, claim *routing.Claim) (*hop3.Route, error) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), maxHold, errHeldTooLong)
	defer cancel()
	return claim.Wake(ctx)
}

// mayWake reports whether a request is a visitor's: our own questions whether
// an app is well, and what certificate authorities ask, wake nobody.
func mayWake(r *http.Request) bool {
	return !strings.HasPrefix(r.UserAgent(), "Hop3-Readiness") &&
		!strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/")
}

// notAwakePage is what visitors are told of an app that did not wake up. Why
// is for its owner.
func notAwakePage(err error) page {
	var not *routing.NotAwake
	switch {
	case errors.Is(err, errHeldTooLong):
		return pageSlowWake
	case errors.As(err, &not) && not.Busy:
		return pageWakeQueue
	}
	p := stoppedPage(hop3.RouteFailed)
	if not != nil {
		p.RetryAfter = max(int(math.Ceil(not.RetryAfter.Seconds())), 1)
	}
	return p
}
