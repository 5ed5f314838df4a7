package caddymodules

import (
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hopHeaders are about one connection, and go no further (RFC 9110, section
// 7.6.1), as Caddy's reverse proxy has them.
var hopHeaders = []string{"Alt-Svc", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// ourHeaders are written by appendHead itself. There is no body, so there is
// no length.
var ourHeaders = []string{"Host", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Content-Length"}

// appendHead appends the head of a request without a body, as an instance is
// to get it: what Caddy's reverse proxy would send.
func appendHead(b []byte, r *http.Request) []byte {
	b = append(append(b, r.Method...), ' ')
	b = append(append(b, target(r.URL)...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, r.Host...), "\r\n"...)
	named := r.Header["Connection"]
	for name, values := range r.Header {
		if slices.Contains(ourHeaders, name) || slices.Contains(hopHeaders, name) || len(named) > 0 && connectionNames(named, name) ||
			!httpguts.ValidHeaderFieldName(name) {
			continue
		}
		for _, value := range values {
			b = appendField(b, name, value)
		}
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") && !connectionNames(named, "Te") {
		b = appendField(b, "Te", "trailers")
	}
	b = appendForwarded(b, r)
	for _, value := range r.Header["Via"] {
		b = appendField(b, "Via", value)
	}
	b = append(b, "Via: "...)
	b = append(b, byte('0'+r.ProtoMajor), '.', byte('0'+r.ProtoMinor))
	return append(b, " Caddy\r\n\r\n"...)
}

// target is what an instance is asked for.
func target(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.ForceQuery || u.RawQuery != "" {
		return path + "?" + u.RawQuery
	}
	return path
}

// appendForwarded says who the client is. What the request says of that counts
// when it comes from a proxy that we trust.
func appendForwarded(b []byte, r *http.Request) []byte {
	trusted := trustedClient(r)
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil && !(trusted && r.RemoteAddr == "@") { // "@": the client of a socket
		return b
	}
	client, _, _ = strings.Cut(client, "%") // the zone of an IPv6 address
	prior := ""
	if trusted {
		prior = strings.Join(r.Header["X-Forwarded-For"], ", ")
	}
	switch {
	case prior != "" && client != "":
		b = appendField(b, "X-Forwarded-For", prior+", "+client)
	case prior != "" || client != "":
		b = appendField(b, "X-Forwarded-For", prior+client)
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	b = appendField(b, "X-Forwarded-Proto", priorOr(r, trusted, "X-Forwarded-Proto", scheme))
	return appendField(b, "X-Forwarded-Host", priorOr(r, trusted, "X-Forwarded-Host", r.Host))
}

// priorOr returns the last value that a trusted proxy gave a header, or ours.
func priorOr(r *http.Request, trusted bool, name, ours string) string {
	if values := r.Header[name]; trusted && len(values) > 0 && values[len(values)-1] != "" {
		return values[len(values)-1]
	}
	return ours
}

// appendField appends a field. What would end its line becomes a space.
func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	start := len(b)
	b = append(b, strings.Trim(value, " \t\r\n")...)
	for i := start; i < len(b); i++ {
		if b[i] == '\r' || b[i] == '\n' {
			b[i] = ' '
		}
	}
	return append(b, "\r\n"...)
}

// connectionNames reports whether a Connection header names another one as one
// that is for this connection only.
func connectionNames(connection []string, name string) bool {
	for _, list := range connection {
		for one := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(textproto.TrimString(one), name) {
				return true
			}
		}
	}
	return false
}

// dropHopHeaders removes what is about the connection to the instance.
func dropHopHeaders(h http.Header) {
	for _, list := range h["Connection"] {
		for one := range strings.SplitSeq(list, ",") {
			if one = textproto.TrimString(one); one != "" {
				h.Del(one)
			}
		}
	}
	for _, name := range hopHeaders {
		delete(h, name)
	}
}
