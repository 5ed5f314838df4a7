package env

import (
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3"
)

var reference = regexp.MustCompile(`\$(\w+|\{([^}]*)\})`)

// maxValue bounds what an expansion may grow to: a value longer than what a
// process can be given is of no use, and a chain of doublings takes all memory.
const maxValue = 120 << 10

// Expand replaces $NAME and ${NAME} by the variables' values. Unknown names
// stay as they are. There is no escape and no default syntax.
func Expand(text string, vars hop3.Env) (string, error) {
	out, _, err := expand(text, vars)
	return out, err
}

// expand also returns the names that vars lacks.
func expand(text string, vars hop3.Env) (out string, missing []string, err error) {
	var b strings.Builder
	last := 0
	for _, m := range reference.FindAllStringSubmatchIndex(text, -1) {
		name := nameOf(text, m)
		value, ok := vars[name]
		if !ok {
			missing = append(missing, name)
			value = text[m[0]:m[1]]
		}
		b.WriteString(text[last:m[0]])
		b.WriteString(value)
		last = m[1]
		if b.Len() > maxValue {
			return "", nil, hop3.Errorf(hop3.CodeInvalid, "a value that refers to others grows beyond %d KiB", maxValue>>10)
		}
	}
	b.WriteString(text[last:])
	return b.String(), missing, nil
}

// names returns the variables that text mentions.
func names(text string) []string {
	var out []string
	for _, m := range reference.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, nameOf(text, m))
	}
	return out
}

func nameOf(text string, m []int) string {
	if m[4] >= 0 {
		return text[m[4]:m[5]]
	}
	return text[m[2]:m[3]]
}
