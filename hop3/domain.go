package hop3

import (
	"net"
	"regexp"
	"strings"
)

var hostLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// NormalizeHost returns the form in which hosts are stored and compared: lower
// case, without port, brackets or trailing dot.
func NormalizeHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	return strings.ToLower(host)
}

// ValidateHost reports a CodeInvalid error unless host, already normalized, is
// an RFC 1123 name of at most 253 bytes. Its first label may be "*".
func ValidateHost(host string) error {
	bad := Errorf(CodeInvalid, "%q is not a valid host name", shorten(host, 80))
	if host == "" || len(host) > 253 {
		return bad
	}
	for i, label := range strings.Split(host, ".") {
		if i == 0 && label == "*" && strings.Contains(host, ".") {
			continue
		}
		if !hostLabel.MatchString(label) {
			return bad
		}
	}
	return nil
}

// LocalHost reports whether host is a name that no public certificate
// authority can vouch for: an address, a bare name, or one under a reserved
// top-level domain (RFC 2606, RFC 6762, RFC 8375).
func LocalHost(host string) bool {
	if net.ParseIP(host) != nil || !strings.Contains(host, ".") {
		return true
	}
	for _, tld := range []string{".localhost", ".local", ".test", ".example", ".invalid", ".internal", ".home.arpa"} {
		if strings.HasSuffix(host, tld) {
			return true
		}
	}
	return false
}
