package caddymodules

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3/routing"
)

// canaryCookie says which side of a release that is tried out a visitor is on.
const canaryCookie = "hop3_canary"

// tryOut serves a request by the release that is tried out beside the live
// one, when it is this request's turn. done says that it was served.
func (a *Apps) tryOut(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, claim *routing.Claim, p *policy) (done bool, err error) {
	try := claim.Route().Canary
	if try == nil || p.Maintenance != nil || !p.chosen(w, r, try.Release, try.Percent) {
		return false, nil
	}
	canary, ok := claim.Canary()
	if !ok {
		return false, nil
	}
	defer letGo(r, canary)
	watched := &watchedWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, arrived: time.Now()}
	whole := false
	defer func() { watched.report(r, canary, whole) }()
	err = a.servePolicy(watched, r, next, canary, false)
	whole = err == nil
	return true, err
}

// chosen reports whether a visitor meets the release that is tried out. Once
// that is decided it stays so: a cookie remembers it.
func (p *policy) chosen(w http.ResponseWriter, r *http.Request, release, percent int) bool {
	yes, no := p.mark("canary "+strconv.Itoa(release)), p.mark("live, not "+strconv.Itoa(release))
	if c, err := r.Cookie(canaryCookie); err == nil && (c.Value == yes || c.Value == no) {
		return c.Value == yes
	}
	side, chosen := no, rand.IntN(100) < percent
	if chosen {
		side = yes
	}
	cookie := http.Cookie{Name: canaryCookie, Value: side, Path: "/", MaxAge: 3600, HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteLaxMode}
	w.Header().Add("Set-Cookie", cookie.String())
	return chosen
}

// watchedWriter notes how an answer begins.
type watchedWriter struct {
	*caddyhttp.ResponseWriterWrapper
	arrived time.Time
	status  int // 0 until the answer has begun
	took    time.Duration
}

// WriteHeader begins the answer.
func (w *watchedWriter) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status, w.took = status, time.Since(w.arrived)
	}
	w.ResponseWriter.WriteHeader(status)
}

// report tells how the request fared. Of one whose client left, only how long
// it had waited counts.
func (w *watchedWriter) report(r *http.Request, canary *routing.Claim, whole bool) {
	gone := r.Context().Err() != nil
	if w.status == 0 {
		w.took = time.Since(w.arrived)
	}
	canary.Observe(w.status >= 500 || !gone && (!whole || w.status == 0), w.took)
}
