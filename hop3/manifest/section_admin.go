package manifest

import (
	"slices"
	"strings"
	"unicode"

	"github.com/abilian/hop3/hop3"
)

// readAdmin reads [admin], the app's first account.
func readAdmin(r *reading) {
	t := r.table.table("admin")
	if t == nil {
		return
	}
	a := &hop3.AdminAccount{Username: t.accountName("username"), Email: t.accountName("email")}
	if a.Username == "" && a.Email == "" {
		t.doc.fail(t.path, "'username' or 'email' is needed")
	}
	if password := t.table("password"); password != nil {
		a.Password = password.generated()
	} else if _, present := t.values["password"]; !present {
		t.doc.fail(t.path, "'password' is missing: write password = { generate = \"password\" }, no password belongs into a repository")
	}
	t.needs("password")
	a.Create = t.text("create")
	switch a.Login = t.oneOf("login", "username", "email"); {
	case a.Login == "username" && a.Username == "", a.Login == "email" && a.Email == "":
		t.fail("login", "[admin] has no '%s' to sign in with", a.Login)
	}
	t.done()
	r.manifest.Admin = a
}

// accountName is a name without blanks around it, or anything a terminal would
// act on.
func (t *table) accountName(key string) string {
	s := strings.TrimSpace(t.text(key))
	if strings.ContainsFunc(s, unicode.IsControl) || len(s) > 254 {
		t.fail(key, "%q cannot be a name", cut(s))
	}
	return s
}

// readProbe reads [probe], the account that a smoke test signs in with.
func readProbe(r *reading) {
	t := r.table.table("probe")
	if t == nil {
		return
	}
	p := &hop3.ProbeAccount{Username: t.accountName("username"), Email: t.accountName("email"), Create: t.text("create")}
	t.required("create")
	t.done()
	if p.Username == "" {
		p.Username = hop3.ProbeUsername
	}
	r.manifest.Probe = p
}

// noEffect notes a section that this server accepts and does not act on.
func (r *reading) noEffect(section, reason string) {
	m := r.manifest
	if !slices.ContainsFunc(m.Unsupported, func(u Unsupported) bool { return u.Section == section }) {
		m.Unsupported = append(m.Unsupported, Unsupported{section, reason})
	}
}
