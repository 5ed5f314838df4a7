package manifest

import "slices"

func readDomains(r *reading) {
	t := r.table.table("domains")
	if t == nil {
		return
	}
	m := r.manifest
	t.needs("list")
	if _, ok := t.values["list"]; !ok {
		t.doc.fail(t.path, "needs a list of host names: list = [\"www.example.org\"]")
	}
	m.Domains = t.hosts("list")
	underscored, plain := t.oneOf("_policy", policies...), t.oneOf("policy", policies...)
	m.DomainsOverride = underscored == policyOverride || plain == policyOverride
	if _, also := m.Env.Static["HOST_NAME"]; also {
		t.doc.fail(t.path, "[env].HOST_NAME says the same thing: keep one of them")
	}
	t.done()
}

// hosts is a list of host names, normalized, or "_" alone for all of them.
func (t *table) hosts(key string) []string {
	names := t.texts(key)
	var hosts []string
	for _, name := range names {
		hosts = append(hosts, t.host(key, name))
	}
	if len(names) > 1 && slices.Contains(names, "_") {
		t.fail(key, "\"_\" stands for every host and can only be alone")
	}
	return hosts
}
