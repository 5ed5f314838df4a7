package hop3

import "strings"

// ProtectedPath reports whether a request path is below one of the prefixes in
// any way that an app may read it: whatever is percent-encoded, once or more
// often, in other letters, with doubled or turned slashes, with the "." and
// ".." of any server, or behind the ";" of a Java one. What only looks as if it
// were below is protected too: the mistake is made on the safe side. Path is
// as the client sent it, undecoded.
func ProtectedPath(path string, prefixes []string) bool {
	for range 4 { // an app that decodes more often than that is no match for us
		folded := foldPath(path)
		for _, prefix := range prefixes {
			if folded.mayBeBelow(strings.TrimSuffix(strings.ToLower(turnSlashes(prefix)), "/")) {
				return true
			}
		}
		decoded := decodePercent(path)
		if decoded == path {
			return false
		}
		path = decoded
	}
	return true // encoded over and over: nobody means well
}

// PathBelow reports whether a path is prefix or below it, by whole segments.
// Both are compared as they are.
func PathBelow(path, prefix string) bool { return below(path, strings.TrimSuffix(prefix, "/")) }

func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// foldedPath is a path in lower case, in segments as they were sent.
type foldedPath []string

func foldPath(path string) foldedPath {
	path = turnSlashes(path)
	if end := strings.IndexAny(path, "?#\x00"); end >= 0 {
		path = path[:end]
	}
	return strings.Split(strings.ToLower(path), "/")
}

func (f foldedPath) mayBeBelow(prefix string) bool {
	literal, dots := f.literal()
	// With dots in it, a server that resolves them in a way of its own may end
	// up anywhere that the path names.
	if below(literal, prefix) || dots && strings.Contains(literal+"/", prefix+"/") {
		return true
	}
	for _, collapse := range []bool{true, false} {
		for _, parameters := range []bool{true, false} {
			if dots && below(f.resolved(collapse, parameters), prefix) {
				return true
			}
		}
	}
	return false
}

// literal is the path without dots, and whether there were any.
func (f foldedPath) literal() (path string, dots bool) {
	var b strings.Builder
	for _, segment := range f {
		switch name := segmentName(segment); name {
		case "":
		case ".", "..":
			dots = true
		default:
			// Windows knows no trailing dots.
			if name = strings.TrimRight(name, "."); name == "" {
				dots = true
				continue
			}
			b.WriteString("/" + name)
		}
	}
	return b.String(), dots
}

// resolved is the path without dots, each ".." taking the segment before it
// away: with collapse not an empty one, and with parameters also where they
// follow it.
func (f foldedPath) resolved(collapse, parameters bool) string {
	var kept []string
	for _, segment := range f {
		name := segmentName(segment)
		switch {
		case name == ".", name == "" && collapse:
		case name == ".." && (parameters || !strings.Contains(segment, ";")):
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, name)
		}
	}
	var b strings.Builder
	for _, name := range kept {
		if name != "" {
			b.WriteString("/" + name)
		}
	}
	return b.String()
}

// segmentName is a segment without parameters and blanks.
func segmentName(segment string) string {
	name, _, _ := strings.Cut(segment, ";")
	return strings.TrimFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xa0 })
}

func turnSlashes(path string) string { return strings.ReplaceAll(path, `\`, "/") }

// decodePercent decodes what is percent-encoded once, and leaves alone what
// only looks so.
func decodePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
