package caddymodules

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// stickyCookie holds the mark of the instance that a visitor was sent to.
const stickyCookie = "hop3_instance"

// stick returns the instance that the request's cookie names, if it is there
// and well, else one chosen anew, which the answer's cookie then names. What
// names an instance tells nothing of its address, and cannot be made up.
func (at *attempt) stick(dials []string, w http.ResponseWriter, r *http.Request, p *policy) string {
	if c, err := r.Cookie(stickyCookie); err == nil {
		for _, dial := range dials {
			if subtle.ConstantTimeCompare([]byte(c.Value), []byte(p.mark(dial))) == 1 && at.all.well(dial) {
				return dial
			}
		}
	}
	dial := at.all.leastBusy(dials)
	cookie := http.Cookie{Name: stickyCookie, Value: p.mark(dial), Path: "/", HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteLaxMode}
	h := w.Header() // that of an attempt before this one goes: the app has not answered yet
	h["Set-Cookie"] = append(slices.DeleteFunc(h["Set-Cookie"], func(c string) bool { return strings.HasPrefix(c, stickyCookie+"=") }), cookie.String())
	return dial
}

// mark names an instance of the app.
func (p *policy) mark(dial string) string {
	h := hmac.New(sha256.New, p.secret[:])
	h.Write([]byte(p.app + "\x00" + dial))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// cookieSecret returns what an app's cookies are signed with. It stays the same
// over restarts of a server.
func (a *Apps) cookieSecret() [32]byte {
	if a.core == nil {
		return ownSecret()
	}
	return sha256.Sum256(append([]byte("hop3 cookies\x00"), a.core.config.SecretKey...))
}

// ownSecret is that of a Caddy with our routing only.
var ownSecret = sync.OnceValue(func() (secret [32]byte) {
	rand.Read(secret[:])
	return secret
})
