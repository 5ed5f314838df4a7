package manifest

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// readContexts reads [contexts.<name>], the places an app is deployed to. The
// client acts on them; the server only sees that they make sense and give
// nothing away.
func readContexts(r *reading) {
	all := r.table.table("contexts")
	if all == nil {
		return
	}
	all.rest(shapeOf(readContext))
	for _, name := range slices.Sorted(maps.Keys(all.values)) {
		if !contextName.MatchString(name) {
			all.fail(name, "%q cannot be a context's name: use 1 to 64 letters, digits, '-' or '_'", cut(name))
		}
		if t := all.table(name); t != nil {
			readContext(t)
		}
	}
}

func readContext(t *table) {
	server := t.text("server")
	t.required("server")
	if why := addressSecret(server); why != "" {
		t.fail("server", "this has a secret in it (%s), and the repository keeps it for ever: use `hop3 login` instead", why)
	}
	if app := t.text("app"); app != "" {
		if err := hop3.ValidateAppName(app); err != nil {
			t.fail("app", "%s", hop3.MessageOf(err))
		}
	}
	if domains := t.table("domains"); domains != nil {
		domains.hosts("list")
		domains.done()
	}
	if env := t.table("env"); env != nil {
		env.variables(&hop3.EnvSection{})
	}
	t.done()
}

// secretQuery are the parameters of an address that let somebody in.
var secretQuery = []string{"token", "password", "secret", "api_key"}

// addressSecret says which credential a server's address has, "" for none.
func addressSecret(address string) string {
	if why := committedSecret(address); why != "" {
		return why
	}
	_, query, _ := strings.Cut(address, "?")
	values, _ := url.ParseQuery(query) // what can be read of it
	for key := range values {
		if slices.Contains(secretQuery, strings.ToLower(key)) {
			return "?" + strings.ToLower(key) + "="
		}
	}
	return ""
}
