package manifest

import "slices"

// readAdmin reads [admin], the app's first account.
func readAdmin(r *reading) {
	t := r.table.table("admin")
	if t == nil {
		return
	}
	username, email := t.text("username"), t.text("email")
	if isBlankText(username) && isBlankText(email) {
		t.doc.fail(t.path, "'username' or 'email' is needed")
	}
	if password := t.table("password"); password != nil {
		password.generated()
	} else if _, present := t.values["password"]; !present {
		t.doc.fail(t.path, "'password' is missing: write password = { generate = \"password\" }, no password belongs into a repository")
	}
	t.needs("password")
	t.text("create")
	switch login := t.oneOf("login", "username", "email"); {
	case login == "username" && username == "", login == "email" && email == "":
		t.fail("login", "[admin] has no '%s' to sign in with", login)
	}
	t.done()
	r.noEffect("admin", "this server does not make an app's first account: run what makes it with `hop3 app run`")
}

// readProbe reads [probe], the account that a smoke test signs in with.
func readProbe(r *reading) {
	t := r.table.table("probe")
	if t == nil {
		return
	}
	t.text("username")
	t.text("email")
	t.text("create")
	t.required("create")
	t.done()
	r.noEffect("probe", "this server runs no smoke tests")
}

// noEffect notes a section that this server accepts and does not act on.
func (r *reading) noEffect(section, reason string) {
	m := r.manifest
	if !slices.ContainsFunc(m.Unsupported, func(u Unsupported) bool { return u.Section == section }) {
		m.Unsupported = append(m.Unsupported, Unsupported{section, reason})
	}
}
