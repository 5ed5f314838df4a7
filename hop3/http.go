package hop3

import (
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// HTTPPolicy is what the proxy does with an app's requests besides passing
// them on. It is pure data, frozen with a release, and made by
// HTTPSettings.Policy, which validates it. The zero value of a field
// leaves its matter as it is without a policy.
//
// The parts are applied in this order: who and what WAF lets in, Deny and
// Allow, Maintenance, the redirects to HTTPS and to CanonicalHost, RateLimit,
// BasicAuth, MaxBody, the rules of WAF, Routes; what is answered gets HSTS, Headers, CacheControl and is encoded.
type HTTPPolicy struct {
	// AllowHTTP serves plain HTTP on real domains (true) or redirects it
	// (false), whatever the manifest's [deploy] says; nil leaves that to it.
	AllowHTTP *bool `json:"allow_http,omitempty"`
	// HSTS is the Strict-Transport-Security of answers over TLS; nil for none.
	HSTS *HSTS `json:"hsts,omitempty"`
	// CanonicalHost is the normalized host that requests for the app's other
	// public hosts are redirected to; "" for none.
	CanonicalHost string `json:"canonical_host,omitempty"`
	// Headers are set on every answer, by canonical name; "" removes one.
	Headers map[string]string `json:"headers,omitempty"`
	// CacheControl is the Cache-Control, by path prefix, of successful answers
	// that have none. The longest prefix counts.
	CacheControl map[string]string `json:"cache_control,omitempty"`
	// BasicAuth holds the hash of each user's password: bcrypt, or argon2id as
	// a PHC string. Empty asks nobody for a password.
	BasicAuth map[string]string `json:"basic_auth,omitempty"`
	// Deny are the networks whose clients get nothing, Allow the only ones that
	// get something; none for all. They are written as 192.0.2.0/24.
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
	// Protect are the path prefixes that Allow and BasicAuth are for; none
	// means every path. See ProtectedPath for how they are compared.
	Protect []string `json:"protect,omitempty"`
	// RateLimit bounds the requests of one client address; nil for no bound.
	RateLimit *RateLimit `json:"rate_limit,omitempty"`
	// MaxBody is how many bytes a request's body may have; 0 for no bound.
	MaxBody int64 `json:"max_body,omitempty"`
	// Timeout is how long the app may take to begin its answer once it has the
	// request; 0 for no bound.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Encode are the encodings an answer may be compressed with, in order of
	// preference: "zstd", "gzip". None compresses nothing.
	Encode []string `json:"encode,omitempty"`
	// ErrorPages are files of the release, relative to its directory, shown in
	// place of the server's own page of that status.
	ErrorPages map[int]string `json:"error_pages,omitempty"`
	// Maintenance closes the app to visitors; nil when it is open.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
	// Sticky sends a visitor to the same instance, as long as it is there.
	Sticky bool `json:"sticky,omitempty"`
	// Retries is how often a GET or HEAD is sent again that an instance took
	// and did not answer; nil means once.
	Retries *int `json:"retries,omitempty"`
	// BufferRequests and BufferResponses read a body, up to 1 MiB, before
	// passing it on. Nothing is buffered otherwise.
	BufferRequests  bool `json:"buffer_requests,omitempty"`
	BufferResponses bool `json:"buffer_responses,omitempty"`
	// Upstream is what the instances speak: "" for HTTP/1.1, UpstreamH2C.
	Upstream string `json:"upstream,omitempty"`
	// Routes send paths to other apps, the longest prefix first.
	Routes []HTTPRoute `json:"routes,omitempty"`
	// Canary lets each deploy serve a part of the requests first; nil lets it
	// serve all at once.
	Canary *Canary `json:"canary,omitempty"`
	// WAF is the firewall; nil for none. It is no setting: that of a route is
	// its release's.
	WAF *WAF `json:"waf,omitempty"`
	// AccessLog is how requests are written down; "" is the server's choice.
	AccessLog string `json:"access_log,omitempty"`
}

// The words of HTTPPolicy.AccessLog.
const (
	AccessLogJSON     = "json"
	AccessLogCombined = "combined"
	AccessLogOff      = "off"
)

// HTTPLayers are the settings that the policy of a release is made of, each
// over the one before.
type HTTPLayers struct {
	Defaults  HTTPSettings `json:"defaults,omitempty"`  // from elsewhere in the manifest
	Variables HTTPSettings `json:"variables,omitempty"` // from NGINX_… and the like
	Declared  HTTPSettings `json:"declared,omitempty"`  // by the manifest
	Set       HTTPSettings `json:"set,omitempty"`       // by command
}

// Policy makes the policy of the layers, nil when they change nothing.
func (l HTTPLayers) Policy() (*HTTPPolicy, error) {
	return l.All().Policy()
}

// All returns the settings in force.
func (l HTTPLayers) All() HTTPSettings {
	all := HTTPSettings{}
	for _, layer := range []HTTPSettings{l.Defaults, l.Variables, l.Declared, l.Set} {
		maps.Copy(all, layer)
	}
	return all
}

// IsZero reports whether no layer says anything.
func (l HTTPLayers) IsZero() bool {
	return len(l.Defaults)+len(l.Variables)+len(l.Declared)+len(l.Set) == 0
}

// UpstreamH2C is the HTTPPolicy.Upstream of apps that speak HTTP/2 in clear,
// as gRPC servers do.
const UpstreamH2C = "h2c"

// HSTS is a Strict-Transport-Security policy (RFC 6797).
type HSTS struct {
	MaxAge            time.Duration `json:"max_age"`
	IncludeSubdomains bool          `json:"include_subdomains,omitempty"`
	Preload           bool          `json:"preload,omitempty"`
}

// RateLimit is a token bucket: Burst requests at once, Requests in Per on
// average.
type RateLimit struct {
	Requests int           `json:"requests"`
	Per      time.Duration `json:"per"`
	Burst    int           `json:"burst"`
}

// Maintenance closes an app to visitors.
type Maintenance struct {
	// Message is what visitors read; "" for the server's own words.
	Message string `json:"message,omitempty"`
	// Allow are the networks whose clients get to the app nevertheless.
	Allow []string `json:"allow,omitempty"`
}

// Validate reports a CodeInvalid error unless the message is a short text.
func (m Maintenance) Validate() error {
	if len(m.Message) > 1000 || !utf8.ValidString(m.Message) || strings.ContainsFunc(m.Message, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Errorf(CodeInvalid, "a message has at most 1000 bytes, all of one line")
	}
	return nil
}

// HTTPRoute sends the requests below a path prefix to another app.
type HTTPRoute struct {
	Prefix string `json:"prefix"`
	App    string `json:"app"`
	// Strip takes the prefix away from what the other app sees.
	Strip bool `json:"strip,omitempty"`
}

// Canary says how a new release proves itself.
type Canary struct {
	Percent   int           `json:"percent"`    // of the requests, 1 to 99
	For       time.Duration `json:"for"`        // then it serves all
	MaxErrors float64       `json:"max_errors"` // percent of its answers that may be 5xx or none
	MaxP99    time.Duration `json:"max_p99,omitempty"`
}

// IsZero reports whether the policy changes nothing.
func (p *HTTPPolicy) IsZero() bool {
	return p == nil || p.AllowHTTP == nil && p.HSTS == nil && p.CanonicalHost == "" && len(p.Headers)+len(p.CacheControl)+len(p.BasicAuth)+
		len(p.Allow)+len(p.Deny)+len(p.Protect)+len(p.Encode)+len(p.ErrorPages)+len(p.Routes) == 0 && p.RateLimit == nil && p.MaxBody == 0 &&
		p.Timeout == 0 && p.Maintenance == nil && !p.Sticky && p.Retries == nil && !p.BufferRequests && !p.BufferResponses && p.Upstream == "" &&
		p.Canary == nil && p.WAF == nil && p.AccessLog == ""
}

// String returns the policy as the header's value.
func (h HSTS) String() string {
	s := "max-age=" + strconv.FormatInt(int64(h.MaxAge/time.Second), 10)
	if h.IncludeSubdomains {
		s += "; includeSubDomains"
	}
	if h.Preload {
		s += "; preload"
	}
	return s
}
