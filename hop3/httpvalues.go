package hop3

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The grammar of the values of HTTPSettings.

func words(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' })
}

func put[K comparable](m *map[K]string, key K, value string) {
	if *m == nil {
		*m = map[K]string{}
	}
	(*m)[key] = value
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func parseSwitch(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true", "on", "yes", "1":
		return true, nil
	case "false", "off", "no", "0":
		return false, nil
	}
	return false, Errorf(CodeInvalid, "%q is neither true nor false", shorten(v, 80))
}

var (
	sizeValue = regexp.MustCompile(`^([0-9]{1,12})(?i:(k|m|g|t)?(?:i?b)?)$`)
	spanValue = regexp.MustCompile(`^([0-9]{1,9})(ms|s|m|h|d|w|y)$`)
)

// parseBytes reads "50M"; the units are powers of 1024.
func parseBytes(v string) (int64, error) {
	m := sizeValue.FindStringSubmatch(v)
	if m == nil {
		return 0, Errorf(CodeInvalid, "%q is not a size such as \"50M\" or \"2G\"", shorten(v, 80))
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	shift := 10 * (strings.Index("kmgt", strings.ToLower(m[2])) + 1)
	if m[2] == "" {
		shift = 0
	}
	if n == 0 || n > math.MaxInt64>>shift {
		return 0, Errorf(CodeInvalid, "%q is not a possible size", v)
	}
	return n << shift, nil
}

// parseSpan reads "500ms", "1h30m" or "30d".
func parseSpan(v string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if m := spanValue.FindStringSubmatch(v); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		d, err = most+1, nil
		if u := unit(m[2]); n <= int64(most/u) {
			d = time.Duration(n) * u
		}
	}
	if err != nil || d < least || d > most {
		return 0, Errorf(CodeInvalid, "%q is not a time from %s to %s, such as \"30s\" or \"2h\"", shorten(v, 80), least, most)
	}
	return d, nil
}

func unit(name string) time.Duration {
	const day = 24 * time.Hour
	return map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "y": 365 * day,
	}[name]
}

// validatePrefix reports whether a URL path prefix is written so that it can
// only mean one thing.
func validatePrefix(prefix string) error {
	switch {
	case !strings.HasPrefix(prefix, "/"), len(prefix) > 512, !printableASCII(prefix):
		return Errorf(CodeInvalid, "%q is not a URL path that begins with '/'", shorten(prefix, 80))
	case strings.ContainsAny(prefix, `%;\?#*"'{}<> `), strings.Contains(prefix, "//"),
		slices.ContainsFunc(strings.Split(prefix, "/"), func(s string) bool { return s == "." || s == ".." }):
		return Errorf(CodeInvalid, "the path %q has characters in it that servers read in different ways", shorten(prefix, 80)).
			WithHint("Write it decoded, without dots, patterns and parameters: every way to ask for it is covered.")
	}
	return nil
}

func printableASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// fieldName checks the name of a response header (RFC 9110, section 5.1) and
// returns it as it is usually written.
func fieldName(name string) (string, error) {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	lower := strings.ToLower(name)
	if name == "" || len(name) > 128 || strings.Trim(lower, token) != "" {
		return name, Errorf(CodeInvalid, "%q is not the name of a header", shorten(name, 80))
	}
	if slices.Contains(ownHeaders, lower) {
		return name, Errorf(CodeInvalid, "%s says how the answer is sent, and is the server's", name)
	}
	parts := strings.Split(lower, "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "-"), nil
}

// ownHeaders frame an answer or belong to one connection.
var ownHeaders = []string{
	"connection", "content-encoding", "content-length", "content-range", "keep-alive", "proxy-authenticate", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade",
}

// validateFieldValue checks the value of a header (RFC 9110, section 5.5).
func validateFieldValue(v string) error {
	if len(v) > 4096 {
		return Errorf(CodeInvalid, "a header's value has at most 4096 bytes")
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r > 0xff }) {
		return Errorf(CodeInvalid, "%q has characters in it that no header may have", shorten(v, 80))
	}
	return nil
}

// The patterns are compiled when they are needed: it takes longer than all
// else that a client does before it calls a server.
var (
	bcryptHash = pattern(`^\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$`)
	argon2Hash = pattern(`^\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,2}),p=([0-9]{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)
)

func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// ValidatePasswordHash reports a CodeInvalid error unless hash is bcrypt's or
// argon2id's, and checking a password against it costs no more than a server
// can afford for a stranger.
func ValidatePasswordHash(hash string) error {
	if bcryptHash().MatchString(hash) {
		return nil
	}
	if m := argon2Hash().FindStringSubmatch(hash); m != nil {
		memory, _ := strconv.Atoi(m[1])
		times, _ := strconv.Atoi(m[2])
		threads, _ := strconv.Atoi(m[3])
		if memory >= 8 && memory <= 128<<10 && times >= 1 && times <= 10 && threads >= 1 {
			return nil
		}
	}
	return Errorf(CodeInvalid, "this is not the hash of a password: bcrypt up to cost 14, or argon2id up to 128 MiB and 10 rounds").
		WithHint("`hop3 http basic-auth add USER` makes one. A password itself is never written down.")
}
