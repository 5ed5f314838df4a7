package manifest

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const policyOverride = "override"

var policies = []string{"keep-existing", policyOverride}

var secretKinds = []string{"hex", "base64", "urlsafe", "password", "uuid"}

func readEnv(r *reading) {
	t := r.table.table("env")
	if t == nil {
		return
	}
	section := &r.manifest.Env
	section.Computed = hop3.Env{}
	section.Override = t.oneOf("_policy", policies...) == policyOverride
	for key, value := range t.pairs("computed") {
		section.Computed[key] = value
		checkKey(t, key, "computed")
	}
	t.variables(section, "_policy", "computed")
}

// variables reads all keys but some as variables.
func (t *table) variables(section *hop3.EnvSection, but ...string) {
	section.Static, section.Generated, section.References = hop3.Env{}, map[string]hop3.Generate{}, map[string]hop3.Reference{}
	t.rest(append(scalarShapes(), shapeOf(func(t *table) { t.generated() }), shapeOf(func(t *table) { t.reference() }))...)
	for _, key := range t.keys() {
		if slices.Contains(but, key) {
			continue
		}
		checkKey(t, key, "")
		switch v := t.values[key].(type) {
		case map[string]any:
			t.table(key).variable(key, section)
		case string:
			t.checkValue(key, v)
			section.Static[key] = v
		default:
			section.Static[key] = t.scalar(key)
		}
	}
}

// variable reads a variable that is a table: a secret to generate, or a
// reference.
func (t *table) variable(key string, section *hop3.EnvSection) {
	_, generated := t.values["generate"]
	_, from := t.values["from"]
	_, fact := t.values["key"]
	_, address := t.values["external_ip"]
	switch {
	case generated:
		section.Generated[key] = t.generated()
	case from || fact || address:
		section.References[key] = t.reference()
	default:
		t.doc.fail(t.path, "expected { generate = \"%s\" } or { key = \"%s\" }", strings.Join(secretKinds, `"|"`), strings.Join(facts, `"|"`))
	}
}

func checkKey(t *table, key, inside string) {
	path := t.at(key)
	if inside != "" {
		path = append(t.at(inside), key)
	}
	if err := hop3.ValidateEnvKey(key); err != nil {
		t.doc.fail(path, "%s", hop3.MessageOf(err))
	}
}

// checkValue checks what a variable is set to.
func (t *table) checkValue(key, value string) {
	if err := hop3.ValidateEnvValue(key, value); err != nil {
		t.fail(key, "%s", hop3.MessageOf(err))
	}
	if why := committedSecret(value); why != "" {
		t.fail(key, "this looks like a secret (%s), and the repository keeps it for ever: set it with 'hop3 env set %s=…' instead", why, cut(key))
	}
}

// scalar is a value that is no list or table, as it is written.
func (t *table) scalar(key string) string {
	v, _ := t.get(key)
	switch v := v.(type) {
	case string:
		return v
	case []any, map[string]any:
		t.fail(key, "expected a value, found %s", kindOf(v))
		return ""
	}
	return t.doc.literals[join(t.at(key))]
}

func scalarShapes() []*shape { return []*shape{textShape(), numberShape(), flagShape()} }

// generated is a secret that the server makes.
func (t *table) generated() hop3.Generate {
	defer t.done()
	t.required("generate")
	return hop3.Generate{
		Kind:    t.oneOf("generate", secretKinds...),
		Length:  t.integer("length", 1, 4096),
		Prefix:  t.text("prefix"),
		Display: t.flag("display"),
	}
}

// facts are what { key = … } can refer to.
var facts = []string{hop3.FactDomain, hop3.FactHostname, hop3.FactName}

// reference is a variable whose value the server knows.
func (t *table) reference() hop3.Reference {
	defer t.done()
	from := t.text("from")
	t.flag("external_ip")
	key := t.text("key")
	if from != "" {
		t.required("key")
		return hop3.Reference{From: from, Fact: key}
	}
	if _, ok := t.values["external_ip"]; ok {
		t.doc.fail(t.path, "references ({ external_ip = … }) are not supported yet: set the variable with `hop3 env set`")
		return hop3.Reference{}
	}
	return hop3.Reference{Fact: t.oneOf("key", facts...)}
}

var secretPrefixes = []string{
	"sk_live_", "sk_test_", "rk_live_", "ghp_", "gho_", "github_pat_", "xoxb-", "xoxp-", "AKIA", "ASIA",
}

// urlPassword finds a password also where the rest is no URL, as with a '%' or
// '#' in the password.
var urlPassword = regexp.MustCompile(`://[^/\s:@]*:[^/\s@]+@`)

// committedSecret says which known form of credential a value has, "" for none.
func committedSecret(value string) string {
	for _, prefix := range secretPrefixes {
		if strings.HasPrefix(value, prefix) {
			return "it begins with " + prefix
		}
	}
	if urlPassword.MatchString(value) {
		return "a URL with a password"
	}
	if strings.Contains(value, "://") {
		if u, err := url.Parse(value); err == nil && u.User != nil {
			if _, ok := u.User.Password(); ok {
				return "a URL with a password"
			}
		}
	}
	return ""
}
