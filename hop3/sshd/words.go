package sshd

import (
	"strings"

	"github.com/abilian/hop3/hop3"
)

// maxLine bounds an exec line, in bytes.
const maxLine = 64 << 10

// splitWords splits an exec line into words as a shell does that knows quotes
// and backslashes and nothing else: no variables, no patterns, no operators.
//
// An ssh client joins its arguments with blanks, so a word with blanks in it
// needs quotes that survive the client's own shell:
//
//	ssh host run --app blog -- sh -c "'echo hi there'"
func splitWords(line string) ([]string, error) {
	if len(line) > maxLine || strings.IndexByte(line, 0) >= 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the command line is too long, or no text")
	}
	var (
		words []string
		word  strings.Builder
		begun bool // also by quotes with nothing in between
		quote byte // the one that is open
	)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote == '\'' && c != quote:
			word.WriteByte(c)
		case c == '\\':
			if i++; i == len(line) {
				return nil, hop3.Errorf(hop3.CodeInvalid, "the command line ends with a backslash")
			}
			if quote == '"' && !strings.ContainsRune("\\\"$`", rune(line[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(line[i])
			begun = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, begun = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the command line has a %c without its other one", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}
