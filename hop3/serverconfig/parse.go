package serverconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/idn"
)

// to makes the setter of a row: parse the text, put the value into the field.
func to[T any](field func(*Config) *T, parse func(string) (T, error)) func(*Config, string) error {
	return func(c *Config, text string) error {
		v, err := parse(text)
		if err != nil {
			return err
		}
		*field(c) = v
		return nil
	}
}

// optional leaves the field at its zero value for an empty text.
func optional[T any](parse func(string) (T, error)) func(string) (T, error) {
	return func(text string) (v T, err error) {
		if text == "" {
			return v, nil
		}
		return parse(text)
	}
}

func anyText(text string) (string, error) { return text, nil }

func absolutePath(text string) (string, error) {
	if text == "" {
		return "", errors.New("no home directory is known; name one")
	}
	if !filepath.IsAbs(text) {
		return "", errors.New("it must be an absolute path")
	}
	return filepath.Clean(text), nil
}

func host(text string) (string, error) {
	if net.ParseIP(text) != nil {
		return text, nil
	}
	if hop3.ValidateHost(text) != nil {
		return "", errors.New("it must be an IP address or a host name")
	}
	return text, nil
}

func addressOrAll(text string) (string, error) {
	if text != "" && net.ParseIP(text) == nil {
		return "", errors.New("it must be an IP address, or empty for all")
	}
	return text, nil
}

func port(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, errors.New("a port is a number from 1 to 65535")
	}
	return n, nil
}

func portOrAny(text string) (int, error) {
	if text == "0" {
		return 0, nil
	}
	n, err := port(text)
	if err != nil {
		return 0, fmt.Errorf("%w, or 0 for any free one", err)
	}
	return n, nil
}

func portOrOff(text string) (int, error) {
	if text == "0" || strings.EqualFold(text, "off") {
		return 0, nil
	}
	n, err := port(text)
	if err != nil {
		return 0, fmt.Errorf("%w, or off", err)
	}
	return n, nil
}

func portRange(text string) (PortRange, error) {
	first, last, _ := strings.Cut(text, "-")
	a, errA := port(strings.TrimSpace(first))
	b, errB := port(strings.TrimSpace(last))
	if errA != nil || errB != nil || a < 1024 || b-a < 99 {
		return PortRange{}, errors.New("it must be two ports above 1023 with at least 100 ports from one to the other, as 20000-29999")
	}
	if a <= 19999 && b >= 15000 {
		return PortRange{}, errors.New("15000 to 19999 are the ports of addons")
	}
	return PortRange{First: a, Last: b}, nil
}

func uidRange(text string) (UIDRange, error) {
	first, last, _ := strings.Cut(text, "-")
	a, errA := number(1000, 1<<31)(strings.TrimSpace(first))
	b, errB := number(1000, 1<<31)(strings.TrimSpace(last))
	if errA != nil || errB != nil || b-a < 99 {
		return UIDRange{}, errors.New("it must be two user ids above 999 with at least 100 from one to the other, as 70000-79999")
	}
	return UIDRange{First: a, Last: b}, nil
}

func oneOf(words ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		if word := strings.ToLower(text); slices.Contains(words, word) {
			return word, nil
		}
		return "", fmt.Errorf("it must be one of %s", strings.Join(words, ", "))
	}
}

func boolean(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errors.New("it must be true or false")
}

func cores(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0 && n <= 4096) {
		return 0, errors.New("it must be a number of cores above 0, as 1.5")
	}
	return n, nil
}

func domain(text string) (string, error) {
	name := idn.Normalize(text)
	if err := idn.Validate(name); err != nil || strings.HasPrefix(name, "*") {
		return "", errors.New("it must be a domain name")
	}
	return name, nil
}

// resolvers reads DNS servers, each with its port.
func resolvers(text string) ([]string, error) {
	var out []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		address, err := netip.ParseAddrPort(word)
		if err != nil {
			alone, err := netip.ParseAddr(word)
			if err != nil {
				return nil, fmt.Errorf("%q is no address, as 192.0.2.53 or 192.0.2.53:53", word)
			}
			address = netip.AddrPortFrom(alone, 53)
		}
		out = append(out, address.String())
	}
	return out, nil
}

// storage reads a directory, or a JSON object that names a module.
func storage(text string) (string, error) {
	if strings.HasPrefix(text, "{") {
		var named struct {
			Module string `json:"module"`
		}
		if err := json.Unmarshal([]byte(text), &named); err != nil || named.Module == "" {
			return "", errors.New(`it is no JSON object with a module, as {"module": "redis"}`)
		}
		return text, nil
	}
	if !filepath.IsAbs(text) {
		return "", errors.New("it must be an absolute path, or a JSON object")
	}
	return filepath.Clean(text), nil
}

// minSecret is the length below which a secret could be guessed.
const minSecret = 32

func secret(text string) ([]byte, error) {
	if len(text) < minSecret {
		return nil, fmt.Errorf("it has %d bytes; a secret has at least %d", len(text), minSecret)
	}
	return []byte(text), nil
}

// token is a text that fits into a header.
func token(text string) ([]byte, error) {
	const least = 16
	if len(text) < least {
		return nil, fmt.Errorf("it has %d characters; a token has at least %d", len(text), least)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("a token has no blanks and only ASCII characters")
	}
	return []byte(text), nil
}

var wordForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

func word(text string) (string, error) {
	text = strings.ToLower(text)
	if !wordForm.MatchString(text) {
		return "", errors.New("it must be a name of letters, digits, '-' and '_'")
	}
	return text, nil
}

func number(least, most int) func(string) (int, error) {
	return func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("it must be a number from %d to %d", least, most)
		}
		return n, nil
	}
}

// maxDuration keeps arithmetic on deadlines far from overflow.
const maxDuration = 24 * time.Hour

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, numErr := strconv.ParseFloat(text, 64); numErr == nil && n >= 0 && n <= maxDuration.Seconds() {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d <= 0 || d > maxDuration {
		return 0, errors.New("it must be seconds, or a duration as 90s or 2m, of at most a day")
	}
	return d, nil
}

func hours(text string) (time.Duration, error) {
	n, err := number(1, 24*366)(text)
	return time.Duration(n) * time.Hour, err
}

func size(text string) (int64, error) {
	digits := strings.TrimSuffix(strings.ToUpper(text), "B")
	shift := 0
	for i, unit := range []string{"K", "M", "G", "T"} {
		if rest, ok := strings.CutSuffix(digits, unit); ok {
			digits, shift = rest, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 1 || n > (1<<60)>>shift {
		return 0, errors.New("it must be a number of bytes, as 500M or 2G")
	}
	return n << shift, nil
}

func sizeOrOff(text string) (int64, error) {
	if text == "0" || strings.EqualFold(text, "off") {
		return 0, nil
	}
	n, err := size(text)
	if err != nil {
		return 0, fmt.Errorf("%w, or off", err)
	}
	return n, nil
}

// notBound are directories that no app may have: with them it had the server,
// or the machine. What lies in the first ones, or around the last one, neither.
var notBound = struct{ below, around []string }{[]string{"/proc", "/sys", "/dev", "/run"}, []string{"/etc/hop3"}}

// bindRules is "/srv/media,/srv/docs:ro".
func bindRules(text string) ([]hop3.BindRule, error) {
	var rules []hop3.BindRule
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		path, readOnly := strings.CutSuffix(word, ":ro")
		path = strings.TrimSuffix(path, "/")
		if err := hop3.ValidateBindSource(path); err != nil {
			return nil, fmt.Errorf("%q is not the absolute path of a directory, with or without \":ro\"", word)
		}
		for _, dir := range notBound.below {
			if within(dir, path) {
				return nil, fmt.Errorf("%q is the system's, and not for apps", path)
			}
		}
		for _, dir := range notBound.around {
			if within(dir, path) || within(path, dir) {
				return nil, fmt.Errorf("%q holds, or is, %s, which is not for apps", path, dir)
			}
		}
		rules = append(rules, hop3.BindRule{Path: path, ReadOnly: readOnly})
	}
	return rules, nil
}

// within reports whether path is dir or below it.
func within(dir, path string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func logLevel(text string) (string, error) {
	level := strings.ToLower(text)
	if level == "warning" {
		level = "warn"
	}
	if level == "critical" {
		level = "error"
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, level) {
		return "", errors.New("it must be debug, info, warn or error")
	}
	return level, nil
}

func httpsURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", errors.New("it must be an https:// URL")
	}
	return text, nil
}

// fileOrName is the path of a file. Hop3 (Python) has the name of an authority
// there, which says nothing.
func fileOrName(text string) (string, error) {
	if !filepath.IsAbs(text) {
		return "", nil
	}
	return absolutePath(text)
}

func hidden(text string) string {
	if text == "" {
		return ""
	}
	return "***"
}

// withoutPassword shows a URL without its password; one that cannot be
// understood not at all.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return hidden(text)
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	if u.RawQuery != "" {
		u.RawQuery = "***"
	}
	return u.String()
}

func emailAddress(text string) (string, error) {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text {
		return "", errors.New("it is not an e-mail address")
	}
	return text, nil
}
