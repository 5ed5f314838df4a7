package platform

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"GET /é\t200":                        "GET /é\t200",
		"\x1b[31mred\x1b[0m":                 "\x1b[31mred\x1b[0m",
		"\x1b[1;38;5;200mbold, for ever":     "\x1b[1;38;5;200mbold, for ever\x1b[0m",
		"a\x1b[2J\x1b[Hb":                    "ab",
		"\x1b]0;title\x07text":               "text",
		"\x1b]8;;http://x\x1b\\link\x1b]8;;": "link",
		"\x1bPq#0~\x1b\\after":               "after",
		"\u009b31mx\u009d0;t\u009cy":         "xy",
		"\x1b(Bx\x1bcy\x1b":                  "xy",
		"\x1b\x1b[31mx":                      "\x1b[31mx\x1b[0m",
		"\x1b[3\x001mx":                      "1mx",
		"50%\r100%\r":                        "100%",
		"bell\x07 back\x08 del\x7f":          "bell back del",
		"bad\xff\xfe":                        "bad\uFFFD",
		"abc\u202eexe.txt":                   "abcexe.txt",
		"\x1b[?25l\x1b[>4mx":                 "x",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestNothingButColoursIsLeft(t *testing.T) {
	piece := rapid.SampledFrom([]string{"\x1b", "[", "]", "3", "1", "m", ";", "?", "\x07", "\\", "\u009b", "\u009c", "P", "x", "é", "\x00", "\r", "\xff", "\u202e", "\t", " "})
	rapid.Check(t, func(t *rapid.T) {
		text := printable(strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(t, "pieces"), ""))
		rest := escape.ReplaceAllStringFunc(text, func(found string) string {
			if !strings.HasSuffix(found, "m") {
				t.Fatalf("%q has %q", text, found)
			}
			return ""
		})
		for _, r := range rest {
			if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || isDirection(r) {
				t.Fatalf("%q has %q", text, r)
			}
		}
		if !utf8.ValidString(text) {
			t.Fatalf("%q", text)
		}
	})
}
