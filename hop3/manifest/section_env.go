package manifest

import (
	"maps"
	"net/url"
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
	section.Static, section.Generated, section.Computed = hop3.Env{}, map[string]hop3.Generate{}, hop3.Env{}
	section.Override = t.oneOf("_policy", policies...) == policyOverride
	for key, value := range t.pairs("computed") {
		section.Computed[key] = value
		checkKey(t, key, "computed")
	}
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if key == "_policy" || key == "computed" {
			continue
		}
		checkKey(t, key, "")
		switch v := t.values[key].(type) {
		case map[string]any:
			t.secret(key, section.Generated)
		case []any:
			t.fail(key, "expected a value or a table such as { generate = \"hex\" }, found a list")
		case string:
			t.static(key, v, section.Static)
		default:
			section.Static[key] = t.doc.literals[join(t.at(key))]
		}
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

func (t *table) static(key, value string, static hop3.Env) {
	if err := hop3.ValidateEnvValue(key, value); err != nil {
		t.fail(key, "%s", hop3.MessageOf(err))
	}
	if why := committedSecret(value); why != "" {
		t.fail(key, "this looks like a secret (%s), and the repository keeps it for ever: set it with 'hop3 env set %s=…' instead", why, key)
	}
	static[key] = value
}

// secret reads a table value: a generated secret, or a reference, which needs
// addons or facts this server does not offer.
func (t *table) secret(key string, generated map[string]hop3.Generate) {
	sub := t.table(key)
	for _, word := range []string{"from", "key", "external_ip"} {
		if _, ok := sub.values[word]; ok {
			t.fail(key, "references ({ %s = … }) are not supported yet by this server", word)
			return
		}
	}
	g := hop3.Generate{
		Kind:    sub.oneOf("generate", secretKinds...),
		Length:  sub.integer("length", 1, 4096),
		Prefix:  sub.text("prefix"),
		Display: sub.flag("display"),
	}
	if _, ok := sub.values["generate"]; !ok {
		t.fail(key, "expected { generate = \"%s\" }", strings.Join(secretKinds, `"|"`))
	}
	sub.done()
	generated[key] = g
}

var secretPrefixes = []string{
	"sk_live_", "sk_test_", "rk_live_", "ghp_", "gho_", "github_pat_", "xoxb-", "xoxp-", "AKIA", "ASIA",
}

// committedSecret says which known form of credential a value has, "" for none.
func committedSecret(value string) string {
	for _, prefix := range secretPrefixes {
		if strings.HasPrefix(value, prefix) {
			return "it begins with " + prefix
		}
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
