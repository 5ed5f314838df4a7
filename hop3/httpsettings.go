package hop3

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HTTPSettings are what an HTTPPolicy is made of, as people write it: one key
// and value for each matter, "max-body" = "50M". A key with a name of the
// app's own has it behind a dot: "headers.X-Frame-Options". The section [http]
// of hop3.toml, `hop3 http set` and the variables of Hop3 (Python) all come to
// this.
type HTTPSettings map[string]string

// HTTPSetting describes a key of HTTPSettings.
type HTTPSetting struct {
	Key string // "headers.": a name of the app's own follows
	// Example is a value.
	Example string
	// List says that the value is several words.
	List  bool
	apply func(p *HTTPPolicy, name, value string) error
}

// HTTPSettingKeys are all keys there are, in order.
var HTTPSettingKeys = []HTTPSetting{
	{Key: "access-log", Example: "combined", apply: func(p *HTTPPolicy, _, v string) error {
		switch v {
		case AccessLogJSON, AccessLogCombined, AccessLogOff:
			p.AccessLog = v
			return nil
		}
		return Errorf(CodeInvalid, "%q is not one of json, combined, off", shorten(v, 80))
	}},
	{Key: "allow", Example: "10.0.0.0/8 192.0.2.7", List: true, apply: func(p *HTTPPolicy, _, v string) (err error) {
		p.Allow, err = ParseNetworks(v)
		return err
	}},
	{Key: "allow-http", Example: "true", apply: func(p *HTTPPolicy, _, v string) error {
		on, err := parseSwitch(v)
		p.AllowHTTP = &on
		return err
	}},
	{Key: "basic-auth.", Example: "$2a$…", apply: func(p *HTTPPolicy, user, v string) error {
		if user == "" || len(user) > 64 || strings.ContainsFunc(user, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f }) {
			return Errorf(CodeInvalid, "%q cannot be a user's name", shorten(user, 80))
		}
		put(&p.BasicAuth, user, v)
		return ValidatePasswordHash(v)
	}},
	{Key: "buffer", Example: "requests", apply: applyBuffer},
	{Key: "cache-control.", Example: "public, max-age=3600", apply: func(p *HTTPPolicy, prefix, v string) error {
		put(&p.CacheControl, prefix, v)
		return first(validatePrefix(prefix), validateFieldValue(v))
	}},
	{Key: "canary", Example: "10% for 5m errors 1% p99 500ms", apply: applyCanary},
	{Key: "canonical-host", Example: "www.example.com", apply: func(p *HTTPPolicy, _, v string) error {
		p.CanonicalHost = NormalizeHost(v)
		if strings.HasPrefix(v, "*") {
			return Errorf(CodeInvalid, "a wildcard is no single host")
		}
		return ValidateHost(p.CanonicalHost)
	}},
	{Key: "deny", Example: "203.0.113.0/24", List: true, apply: func(p *HTTPPolicy, _, v string) (err error) {
		p.Deny, err = ParseNetworks(v)
		return err
	}},
	{Key: "encode", Example: "zstd gzip", List: true, apply: applyEncode},
	{Key: "error-pages.", Example: "errors/404.html", apply: applyErrorPage},
	{Key: "headers.", Example: "DENY", apply: applyHeader},
	{Key: "hsts", Example: "1y includeSubDomains preload", apply: applyHSTS},
	{Key: "max-body", Example: "50M", apply: func(p *HTTPPolicy, _, v string) (err error) {
		p.MaxBody, err = parseBytes(v)
		return err
	}},
	{Key: "protect", Example: "/admin /metrics", List: true, apply: func(p *HTTPPolicy, _, v string) error {
		p.Protect = words(v)
		for _, prefix := range p.Protect {
			if err := validatePrefix(prefix); err != nil {
				return err
			}
		}
		return nil
	}},
	{Key: "rate-limit", Example: "10/s burst 20", apply: applyRateLimit},
	{Key: "retries", Example: "1", apply: func(p *HTTPPolicy, _, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 3 {
			return Errorf(CodeInvalid, "%q is not a number from 0 to 3", shorten(v, 80))
		}
		p.Retries = &n
		return nil
	}},
	{Key: "route.", Example: "other-app strip", apply: applyRoute},
	{Key: "sticky", Example: "true", apply: func(p *HTTPPolicy, _, v string) (err error) {
		p.Sticky, err = parseSwitch(v)
		return err
	}},
	{Key: "timeout", Example: "30s", apply: func(p *HTTPPolicy, _, v string) (err error) {
		p.Timeout, err = parseSpan(v, time.Millisecond, 24*time.Hour)
		return err
	}},
	{Key: "upstream", Example: "h2c", apply: func(p *HTTPPolicy, _, v string) error {
		switch v {
		case "http":
			p.Upstream = ""
		case UpstreamH2C:
			p.Upstream = v
		default:
			return Errorf(CodeInvalid, "%q is neither http nor h2c", shorten(v, 80))
		}
		return nil
	}},
}

// Policy makes the policy of settings. It returns nil when they change
// nothing, and one CodeInvalid error that names all that is wrong.
func (s HTTPSettings) Policy() (*HTTPPolicy, error) {
	p := &HTTPPolicy{}
	var problems []string
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if err := p.apply(key, s[key]); err != nil {
			problems = append(problems, key+": "+MessageOf(err))
		}
	}
	if len(problems) > 0 {
		return nil, Errorf(CodeInvalid, "%s", strings.Join(problems, "\n"))
	}
	slices.SortFunc(p.Routes, func(a, b HTTPRoute) int { return len(b.Prefix) - len(a.Prefix) })
	if p.IsZero() {
		return nil, nil
	}
	return p, nil
}

// Validate reports everything that is wrong with settings in one CodeInvalid
// error.
func (s HTTPSettings) Validate() error {
	_, err := s.Policy()
	return err
}

// Shown returns a value as everybody may see it: of a password nothing.
func (s HTTPSettings) Shown(key string) string {
	if strings.HasPrefix(key, "basic-auth.") {
		return "(a password)"
	}
	return s[key]
}

// FindHTTPSetting returns the description of a key, and the name of the app's
// own in it.
func FindHTTPSetting(key string) (setting HTTPSetting, name string, ok bool) {
	for _, s := range HTTPSettingKeys {
		rest, below := strings.CutPrefix(key, s.Key)
		if below && strings.HasSuffix(s.Key, ".") && rest != "" || key == s.Key {
			return s, rest, !strings.HasSuffix(key, ".")
		}
	}
	return HTTPSetting{}, "", false
}

// Private

func (p *HTTPPolicy) apply(key, value string) error {
	setting, name, ok := FindHTTPSetting(key)
	if !ok {
		return Errorf(CodeInvalid, "there is no such setting").WithHint("There are: %s.", strings.Join(httpSettingNames(), ", "))
	}
	return setting.apply(p, name, strings.TrimSpace(value))
}

func httpSettingNames() []string {
	var names []string
	for _, s := range HTTPSettingKeys {
		if strings.HasSuffix(s.Key, ".") {
			names = append(names, s.Key+"NAME")
		} else {
			names = append(names, s.Key)
		}
	}
	return names
}

func applyBuffer(p *HTTPPolicy, _, v string) error {
	switch v {
	case "off", "requests", "responses", "both":
		p.BufferRequests, p.BufferResponses = v == "requests" || v == "both", v == "responses" || v == "both"
		return nil
	}
	return Errorf(CodeInvalid, "%q is not one of off, requests, responses, both", shorten(v, 80))
}

func applyEncode(p *HTTPPolicy, _, v string) error {
	if on, err := parseSwitch(v); err == nil {
		if p.Encode = nil; on {
			p.Encode = []string{"zstd", "gzip"}
		}
		return nil
	}
	p.Encode = words(v)
	for _, name := range p.Encode {
		if name != "zstd" && name != "gzip" {
			return Errorf(CodeInvalid, "%q is not one of on, off, zstd, gzip", shorten(name, 80))
		}
	}
	return nil
}

func applyErrorPage(p *HTTPPolicy, status, file string) error {
	n, err := strconv.Atoi(status)
	if err != nil || n < 400 || n > 599 {
		return Errorf(CodeInvalid, "%q is not a status from 400 to 599", shorten(status, 80))
	}
	put(&p.ErrorPages, n, file)
	if !localPath(file) {
		return Errorf(CodeInvalid, "%q is not a file inside the app's source", shorten(file, 80))
	}
	return nil
}

// localPath reports whether a path of the source stays in it.
func localPath(file string) bool {
	return file != "" && !strings.HasPrefix(file, "/") && !strings.ContainsAny(file, "\\\x00") &&
		!slices.Contains(strings.Split(file, "/"), "..") && printableASCII(file)
}

func applyHeader(p *HTTPPolicy, name, v string) error {
	canonical, err := fieldName(name)
	put(&p.Headers, canonical, v)
	return first(err, validateFieldValue(v))
}

func applyHSTS(p *HTTPPolicy, _, v string) error {
	if v == "off" || v == "false" {
		p.HSTS = nil
		return nil
	}
	h := &HSTS{MaxAge: 365 * 24 * time.Hour}
	p.HSTS = h
	for i, word := range words(strings.ReplaceAll(v, ";", " ")) {
		switch strings.ToLower(word) {
		case "includesubdomains":
			h.IncludeSubdomains = true
		case "preload":
			h.Preload = true
		default:
			if i == 0 && (word == "on" || word == "true") {
				continue
			}
			age, err := parseSpan(word, time.Second, 10*365*24*time.Hour)
			if err != nil || i != 0 {
				return Errorf(CodeInvalid, "%q is not off, on, or a time such as \"1y\", with includeSubDomains and preload behind it", shorten(v, 80))
			}
			h.MaxAge = age
		}
	}
	return nil
}

var rate = regexp.MustCompile(`^([0-9]{1,7}) ?/ ?([smhd])(?: burst[ =]([0-9]{1,7}))?$`)

func applyRateLimit(p *HTTPPolicy, _, v string) error {
	if v == "off" {
		p.RateLimit = nil
		return nil
	}
	m := rate.FindStringSubmatch(v)
	if m == nil || strings.Trim(m[1], "0") == "" {
		return Errorf(CodeInvalid, "%q is not a rate such as \"10/s\" or \"100/m burst 20\"", shorten(v, 80))
	}
	requests, _ := strconv.Atoi(m[1])
	burst, _ := strconv.Atoi(m[3])
	if burst == 0 {
		burst = requests
	}
	p.RateLimit = &RateLimit{Requests: requests, Per: unit(m[2]), Burst: burst}
	return nil
}

func applyRoute(p *HTTPPolicy, prefix, v string) error {
	app, mode, _ := strings.Cut(v, " ")
	p.Routes = append(p.Routes, HTTPRoute{Prefix: strings.TrimSuffix(prefix, "/"), App: app, Strip: mode == "strip"})
	if strings.Trim(prefix, "/") == "" {
		return Errorf(CodeInvalid, "/ is all there is: give the other app the host instead")
	}
	if err := first(validatePrefix(prefix), ValidateAppName(app)); err != nil {
		return err
	}
	if mode != "" && mode != "strip" {
		return Errorf(CodeInvalid, "%q is not an app's name, with strip behind it or not", shorten(v, 80))
	}
	return nil
}

var canary = regexp.MustCompile(`^([0-9]{1,2})%? for ([0-9a-z]+)(?: errors ([0-9]+(?:\.[0-9]+)?)%?)?(?: p99 ([0-9a-z]+))?$`)

func applyCanary(p *HTTPPolicy, _, v string) error {
	if v == "off" {
		p.Canary = nil
		return nil
	}
	c, err := ParseCanary(v)
	p.Canary = c
	return err
}

// ParseCanary reads a canary: "10% for 5m errors 1% p99 500ms". The last two
// may be left out: errors are 5% then, and p99 is not looked at.
func ParseCanary(v string) (*Canary, error) {
	m := canary.FindStringSubmatch(v)
	if m == nil {
		return nil, Errorf(CodeInvalid, "%q is not a canary such as \"10%% for 5m\" or \"10%% for 5m errors 1%% p99 500ms\"", shorten(v, 80))
	}
	c := &Canary{MaxErrors: 5}
	c.Percent, _ = strconv.Atoi(m[1])
	if c.Percent < 1 {
		return nil, Errorf(CodeInvalid, "a canary gets 1 to 99 percent of the requests")
	}
	var err error
	if c.For, err = parseSpan(m[2], time.Second, 7*24*time.Hour); err != nil {
		return nil, err
	}
	if m[3] != "" {
		if c.MaxErrors, err = strconv.ParseFloat(m[3], 64); err != nil || c.MaxErrors > 100 {
			return nil, Errorf(CodeInvalid, "%q is not a percentage", m[3])
		}
	}
	if m[4] != "" {
		c.MaxP99, err = parseSpan(m[4], time.Millisecond, time.Hour)
	}
	return c, err
}

// ParseNetworks reads addresses and networks, separated by blanks or commas,
// and returns them all as networks: 192.0.2.7/32.
func ParseNetworks(v string) ([]string, error) {
	var out []string
	for _, word := range words(v) {
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(word); err == nil && addr.Zone() == "" {
				prefix, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
			}
		}
		switch {
		case err != nil || !prefix.IsValid():
			return nil, Errorf(CodeInvalid, "%q is no address and no network such as 192.0.2.0/24", shorten(word, 80))
		case prefix != prefix.Masked():
			return nil, Errorf(CodeInvalid, "%q names an address inside its network; the network is %s", word, prefix.Masked())
		}
		out = append(out, prefix.String())
	}
	return out, nil
}
