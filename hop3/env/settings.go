// Package env works on variables: the settings-file grammar, expansion,
// generated secrets, and which of several values wins. Its functions are pure.
package env

import (
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Parse reads a settings file: lines KEY=value, blank lines and # comments.
// $NAME and ${NAME} in a value stand for keys of earlier lines. A malformed
// line is a CodeInvalid error that names it.
func Parse(text string) (hop3.Env, error) {
	vars := hop3.Env{}
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		if !found || hop3.ValidateEnvKey(key) != nil {
			return nil, hop3.Errorf(hop3.CodeInvalid, "line %d of the settings is not KEY=value", i+1)
		}
		value, err := Expand(strings.TrimSpace(value), vars)
		if err == nil {
			err = hop3.ValidateEnvValue(key, value)
		}
		if err != nil {
			return nil, hop3.Errorf(hop3.CodeInvalid, "line %d of the settings: %w", i+1, err)
		}
		vars[key] = value
	}
	return vars, nil
}

// Format writes variables so that Parse reads them back, in order of their
// keys. It returns a CodeInvalid error for a value that no line can hold.
func Format(vars hop3.Env) (string, error) {
	var b strings.Builder
	for _, key := range vars.Keys() {
		value := vars[key]
		if strings.ContainsAny(value, "\r\n") || strings.TrimSpace(value) != value || refersTo(value, vars) {
			return "", hop3.Errorf(hop3.CodeInvalid, "the value of %s cannot be written on one line of a settings file", key)
		}
		b.WriteString(key + "=" + value + "\n")
	}
	return b.String(), nil
}

// refersTo reports whether reading value back would expand it.
func refersTo(value string, vars hop3.Env) bool {
	for _, name := range names(value) {
		if _, ok := vars[name]; ok {
			return true
		}
	}
	return false
}
