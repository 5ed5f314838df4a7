package waf

import (
	"net/url"
	"slices"
	"strings"
)

// readings are the ways in which an app may read the path of a request.
type readings struct {
	// raw is the path as it was sent.
	raw string
	// paths are the others: decoded once, as most apps read it, first; then
	// decoded more often, without parameters, with doubled and turned slashes
	// made single ones.
	paths []string
	// dubious says that nobody who means well sends it: it has dots that
	// lead elsewhere, or is encoded over and over.
	dubious bool
}

// mostDecodings is how often a path is decoded. An app that does so more often
// is no match for us.
const mostDecodings = 4

// mostReadings is how many readings of a path are looked at. Only who tries has
// more.
const mostReadings = 64

// read reads a path as the client sent it, undecoded.
func read(escaped string) readings {
	r := readings{raw: escaped}
	if plain(escaped) {
		r.paths = []string{escaped}
		return r
	}
	level := variants(escaped)
	for range mostDecodings {
		var next []string
		for _, path := range level {
			r.dubious = r.dubious || hasDots(path)
			for _, reading := range variants(decode(path)) {
				if slices.Contains(r.paths, reading) {
					continue
				}
				if len(r.paths) == mostReadings {
					r.dubious = true
					return r
				}
				r.paths, next = append(r.paths, reading), append(next, reading)
			}
		}
		level = next
	}
	for _, path := range level {
		r.dubious = r.dubious || hasDots(path) || decode(path) != path
	}
	return r
}

// plain reports whether there is only one way to read a path.
func plain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; c {
		case '%', '\\', ';', '?', '#':
			return false
		case '/':
			if i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
				return false
			}
		case '.':
			if i+1 == len(path) || path[i+1] == '/' {
				return false
			}
		default:
			if c <= ' ' || c >= 0x7f {
				return false
			}
		}
	}
	return strings.HasPrefix(path, "/")
}

// variants are what servers make of a path between two decodings, the path
// itself first: some turn slashes, some end it at what ends a path, some join
// segments and some cut parameters off them, with or without the others.
func variants(path string) []string {
	var all []string
	add := func(path string) {
		for _, variant := range []string{path, joined(path, false), joined(path, true)} {
			if !slices.Contains(all, variant) {
				all = append(all, variant)
			}
		}
	}
	for _, path := range []string{path, strings.ReplaceAll(path, `\`, "/")} {
		add(path)
		if end := strings.IndexAny(path, "?#\x00"); end >= 0 {
			add(path[:end])
		}
	}
	return all
}

// joined is a path without doubled slashes and, with trimmed, without the
// parameters, blanks and dots that some servers do not see at the end of a
// segment.
func joined(path string, trimmed bool) string {
	segments := strings.Split(path, "/")
	var b strings.Builder
	for i, segment := range segments {
		if trimmed {
			segment = trim(segment)
		}
		if segment != "" || i == len(segments)-1 {
			b.WriteString("/" + segment)
		}
	}
	return b.String()
}

func trim(segment string) string {
	segment, _, _ = strings.Cut(segment, ";")
	return strings.TrimRight(strings.TrimFunc(segment, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xa0 }), ".")
}

// hasDots reports whether a segment consists of dots, however it is dressed.
func hasDots(path string) bool {
	for _, segment := range strings.Split(strings.ReplaceAll(path, `\`, "/"), "/") {
		if segment != "" && strings.Contains(segment, ".") && trim(segment) == "" {
			return true
		}
	}
	return false
}

// decode decodes what is percent-encoded once, and leaves alone what only
// looks so.
func decode(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	if decoded, err := url.PathUnescape(path); err == nil {
		return decoded
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if c, err := url.PathUnescape(path[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
