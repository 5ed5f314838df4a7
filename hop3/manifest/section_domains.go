package manifest

import "slices"

func readDomains(r *reading) {
	t := r.table.table("domains")
	if t == nil {
		return
	}
	m := r.manifest
	if _, ok := t.values["list"]; !ok {
		t.doc.fail(t.path, "needs a list of host names: list = [\"www.example.org\"]")
	}
	names := t.texts("list")
	for _, name := range names {
		m.Domains = append(m.Domains, t.host("list", name))
	}
	if len(names) > 1 && slices.Contains(names, "_") {
		t.fail("list", "\"_\" stands for every host and can only be alone")
	}
	m.DomainsOverride = t.oneOf("_policy", policies...) == policyOverride || t.oneOf("policy", policies...) == policyOverride
	if _, also := m.Env.Static["HOST_NAME"]; also {
		t.doc.fail(t.path, "[env].HOST_NAME says the same thing: keep one of them")
	}
	t.done()
}
