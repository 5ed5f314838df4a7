// Package waf is the web application firewall: it decides, by an app's
// hop3.WAF and the OWASP Core Rule Set, which requests do not get to the app,
// and remembers who is banned. It knows nothing of the server around it.
package waf

import (
	"net/http"
	"net/netip"
)

// Engine looks for attacks. Its methods are safe for concurrent use.
type Engine interface {
	// Inspect returns the rules that refuse a request, none when it is good.
	// An error says that it could not be looked into.
	Inspect(r *Request) (Finding, error)
	// Has reports whether there is a rule of this number that looks for
	// something, and so can be disabled.
	Has(rule int) bool
}

// Request is what an Engine sees of a request.
type Request struct {
	Client           netip.Addr // the zero value when it is unknown
	Method           string
	URI              string // path and query, as they are sent to the app
	Proto            string // "HTTP/1.1"
	Host             string
	Header           http.Header
	TransferEncoding []string
	// Body is the beginning of the body, or all of it. It is at most BodyLimit
	// bytes long; when it is so long, more may follow.
	Body []byte
	// Disabled are the rules that are off.
	Disabled []int
}

// Finding is why a request is refused.
type Finding struct {
	Refused bool
	Rules   []int    // by which, in the order in which they matched
	Kinds   []string // of attack, each once: "sqli"
}

// BodyLimit is how many bytes of a body are looked into. The rules take about
// 6 µs for a byte.
const BodyLimit = 128 << 10
