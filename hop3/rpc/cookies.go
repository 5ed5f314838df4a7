package rpc

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// cookieName is the cookie that carries a token for browsers.
const cookieName = "hop3_auth"

// attemptCookie keeps an attempt at single sign-on, while it lasts.
const attemptCookie = "hop3_sign_on"

// cookieToken returns the token that a browser brings; "" when it was sent by a
// page of somebody else's. The apps are neighbours: their pages are of the same
// site as ours, so that SameSite does not keep their requests away, and they
// can set a cookie of our name beside ours.
func (h *Handler) cookieToken(r *http.Request) string {
	if changes := r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != ""; changes && !sameOrigin(r) {
		return ""
	}
	return h.onlyCookie(r, cookieName)
}

// ownCookie is what a browser calls a cookie of ours. Where it comes by HTTPS,
// the prefix has it refuse one that another host has set for the whole domain
// (RFC 6265bis, section 4.1.3.2): an app, our neighbour, could log its visitors
// in here as its own owner, who would then link their identity to that account,
// or let their command line in as it.
func (h *Handler) ownCookie(r *http.Request, name string) string {
	if h.encrypted(r) {
		return "__Host-" + name
	}
	return name
}

// onlyCookie returns the value of a cookie, "" when there is none, or several.
func (h *Handler) onlyCookie(r *http.Request, name string) string {
	found := r.CookiesNamed(h.ownCookie(r, name))
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// sameOrigin reports whether a request comes from one of our own pages, or from
// no page at all. Browsers say so (Fetch Metadata; RFC 6454 where they are old);
// other programs need not.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// encrypted reports whether the browser's connection is, as far as we can tell.
// The wiring says so of a proxy in front of us, which it trusts.
func (h *Handler) encrypted(r *http.Request) bool {
	return r.TLS != nil || h.OverTLS != nil && h.OverTLS(r)
}

// atHome reports whether a browser asks for this machine: the connection leaves
// it by a tunnel at most. No other machine's browser says such a name.
func atHome(r *http.Request) bool {
	host := r.Host
	if u, err := url.Parse("http://" + host); err == nil {
		host = u.Hostname()
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

func (h *Handler) setCookie(w http.ResponseWriter, r *http.Request, name, value string, expires time.Time) {
	c := &http.Cookie{
		Name: h.ownCookie(r, name), Value: value, Path: "/", Expires: expires,
		HttpOnly: true, Secure: h.encrypted(r), SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// nextPage returns where a browser may go after a login: one of our own pages.
func nextPage(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || len(next) > 512 ||
		strings.ContainsAny(next, "\\\r\n\t") || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return profilePath
	}
	if u.Path == devicePath || strings.HasPrefix(u.Path, "/why/") && !strings.Contains(u.Path, "..") {
		return u.EscapedPath()
	}
	return profilePath
}
