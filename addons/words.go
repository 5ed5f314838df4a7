package addons

import (
	"strings"

	"github.com/abilian/hop3/hop3"
)

// givenCommand is what follows an addon's name: as words, or as --command TEXT.
func givenCommand(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	if args[0] == "--command" || args[0] == "-c" {
		return args[1:]
	}
	if text, ok := strings.CutPrefix(args[0], "--command="); ok {
		return append([]string{text}, args[1:]...)
	}
	return args
}

// splitWords splits a line into words, as a shell does: quotes keep spaces, and
// a backslash what follows it.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	escaped := false
	for _, c := range line {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case strings.ContainsRune(" \t\r\n", c):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the command ends inside of quotes").WithHint("Write '\\'' for a quote of its own.")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
