package caddymodules

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3/front"
)

// cleanHeaders drops what a client may not say, and adds when the request
// arrived, from which apps and monitors tell how long it waited, and an id by
// which it is found again. Caddy takes care of spellings with '_' and '.'.
func cleanHeaders(r *http.Request) {
	trusted := trustedClient(r)
	for name := range r.Header {
		if name == "Proxy" || !trusted && untrusted(name) {
			delete(r.Header, name)
		}
	}
	r.Header["X-Request-Start"] = []string{"t=" + strconv.FormatInt(time.Now().UnixMilli(), 10)}
	if id := r.Header["X-Request-Id"]; len(id) != 1 || !validRequestID(id[0]) {
		r.Header["X-Request-Id"] = []string{newRequestID()}
	}
}

// untrusted reports whether a header names the client, who it is, the way it
// came or another path than the one asked for. Apps believe them, so a
// client's own are dropped. "Proxy" becomes HTTP_PROXY in a CGI environment,
// and is nobody's to say.
func untrusted(name string) bool {
	switch name {
	case front.SecretHeader, "Client-Ip", "Cf-Connecting-Ip", "Forwarded", "Remote-Addr", "Remote-User", "True-Client-Ip",
		"X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Url", "X-Real-Ip", "X-Remote-Address", "X-Remote-User", "X-Rewrite-Url":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Accel-")
}

func trustedClient(r *http.Request) bool {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

// validRequestID reports whether an id that came with a request can be taken
// over: it ends up in logs and on pages.
func validRequestID(id string) bool {
	if len(id) < 8 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~+/=", c) >= 0) {
			return false
		}
	}
	return true
}

// newRequestID returns 128 random bits in hexadecimal.
func newRequestID() string {
	const digits = "0123456789abcdef"
	var id [32]byte
	for half := range 2 {
		bits := rand.Uint64()
		for i := range 16 {
			id[half*16+i] = digits[bits&15]
			bits >>= 4
		}
	}
	return string(id[:])
}
