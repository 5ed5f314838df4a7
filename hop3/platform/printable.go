package platform

import (
	"regexp"
	"strings"
)

// escape is what drives a terminal: control sequences (colours and styles are
// kept by themselves), strings such as titles, and everything else that begins
// with ESC. A sequence without an end goes on to the end of the line.
var escape = regexp.MustCompile("(\x1b\\[[0-9;:]*m)" +
	"|(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]?" +
	"|(?:\x1b[]PX^_]|[\u0090\u0098\u009d\u009e\u009f])[^\x07\x1b\u009c]*(?:\x07|\u009c|\x1b\\\\)?" +
	"|\x1b[ -/]*[0-~]?")

const plainStyle = "\x1b[0m"

// printable makes a line that an app wrote harmless to a terminal: only its
// text, tabs and colours are left.
func printable(text string) string {
	plain := true
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return text
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	styled := false
	text = escape.ReplaceAllStringFunc(text, func(found string) string {
		if !strings.HasPrefix(found, "\x1b[") || !strings.HasSuffix(found, "m") || strings.Trim(found[2:len(found)-1], "0123456789;:") != "" {
			return ""
		}
		styled = true
		return found
	})
	// What a line writes over itself is not seen.
	text = strings.TrimRight(text, "\r")
	text = text[strings.LastIndexByte(text, '\r')+1:]
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != 0x1b || r >= 0x7f && r < 0xa0 || isDirection(r) {
			return -1
		}
		return r
	}, text)
	if styled && !strings.HasSuffix(text, plainStyle) {
		text += plainStyle
	}
	return text
}

// isDirection reports whether a character turns the direction of what follows,
// so that a line looks like another one.
func isDirection(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
