package accesslog

import (
	"net/url"
	"strings"
)

// masked stands for the value of a secret.
const masked = "***"

// appendURI appends a URI without the values of what its query, or fragment,
// calls a secret.
func appendURI(b []byte, uri string, most int, esc escape) []byte {
	uri = shorten(uri, most)
	at := strings.IndexAny(uri, "?#")
	if at < 0 {
		return esc(b, uri)
	}
	b = esc(b, uri[:at+1])
	for rest := uri[at+1:]; rest != ""; {
		pair, end := rest, len(rest)
		if i := strings.IndexAny(rest, "&;?#"); i >= 0 {
			pair, end = rest[:i], i+1
		}
		if name, _, ok := strings.Cut(pair, "="); ok && secretName(name) {
			b = esc(b, name)
			b = append(b, "="+masked...)
		} else {
			b = esc(b, pair)
		}
		b = esc(b, rest[len(pair):end])
		rest = rest[end:]
	}
	return b
}

// secretWords are the words that say of a parameter that it is a secret, and
// the ends of words run together: "accesstoken".
var secretWords = []string{
	"token", "password", "passwd", "passphrase", "pwd", "secret", "apikey", "key", "signature", "credential", "credentials", "jwt", "session", "sessionid", "otp",
}

// secretParts are such words only by themselves.
var secretParts = map[string]bool{"sig": true, "pass": true, "auth": true, "authorization": true, "code": true, "sid": true, "pin": true, "hmac": true}

func secretName(name string) bool {
	if strings.ContainsAny(name, "%+") {
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		if secretParts[word] {
			return true
		}
		for _, end := range secretWords {
			if strings.HasSuffix(word, end) {
				return true
			}
		}
	}
	return false
}
