package hop3

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Env is a set of environment variables.
type Env map[string]string

var envKey = pattern(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// ValidateEnvKey reports a CodeInvalid error unless key can name a variable.
func ValidateEnvKey(key string) error {
	if envKey().MatchString(key) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be a variable's name", shorten(key, 80)).
		WithHint("Use up to 64 letters, digits and '_', not beginning with a digit.")
}

// ValidateEnvValue reports a CodeInvalid error for a value no process can be
// given: one with a NUL byte, or longer than the kernel's limit of 128 KiB for
// one string.
func ValidateEnvValue(key, value string) error {
	if strings.ContainsRune(value, 0) {
		return Errorf(CodeInvalid, "the value of %s contains a NUL byte", key)
	}
	if len(value) > 120<<10 {
		return Errorf(CodeInvalid, "the value of %s is longer than 120 KiB", key)
	}
	return nil
}

// Clone returns a copy; never nil.
func (e Env) Clone() Env {
	out := make(Env, len(e))
	maps.Copy(out, e)
	return out
}

// Merge returns a copy of e overlaid by each of the others in turn.
func (e Env) Merge(others ...Env) Env {
	out := e.Clone()
	for _, o := range others {
		maps.Copy(out, o)
	}
	return out
}

// Keys returns the names in order.
func (e Env) Keys() []string {
	return slices.Sorted(maps.Keys(e))
}

// Environ returns the variables as sorted KEY=value strings, as exec wants
// them.
func (e Env) Environ() []string {
	out := make([]string, 0, len(e))
	for _, k := range e.Keys() {
		out = append(out, k+"="+e[k])
	}
	return out
}

// Redact returns value as it may be shown: values of variables that look like
// secrets keep their first four characters, and passwords in URLs become ***.
func Redact(key, value string) string {
	up := strings.ToUpper(key)
	for _, word := range []string{"PASSWORD", "SECRET", "KEY", "TOKEN", "CREDENTIAL"} {
		if strings.Contains(up, word) {
			if len(value) <= 8 {
				return "***"
			}
			return value[:4] + "***"
		}
	}
	if strings.Contains(value, "://") {
		if u, err := url.Parse(value); err == nil && u.User != nil {
			if _, has := u.User.Password(); has {
				return strings.Replace(value, u.User.String()+"@", u.User.Username()+":***@", 1)
			}
		}
	}
	return value
}
