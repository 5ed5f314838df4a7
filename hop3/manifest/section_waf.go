package manifest

// wafDuration is a time as [waf.bans] writes it: "10m".
const wafDuration = `^[1-9][0-9]*[smhd]$`

// readWAF reads [waf], the firewall in front of an app. One that is asked for
// and not there is refused: the app may rely on it.
func readWAF(r *reading) {
	t := r.table.table("waf")
	if t == nil {
		return
	}
	enabled := t.flag("enabled")
	t.oneOf("mode", "block", "detect")
	t.text("ruleset")
	t.integer("paranoia", 1, 4)
	t.list("allow")
	for _, gate := range t.tables("gate") {
		gate.list("paths")
		gate.required("paths", "require")
		if gate.text("require") == "auth" {
			gate.fail("require", "\"auth\" is reserved: name a network")
		}
		gate.done()
	}
	for _, tuning := range t.tables("tuning") {
		readTuning(tuning)
	}
	readBans(t)
	t.done()
	if enabled {
		t.fail("enabled", "this server has no web application firewall, and the app would be open without it: set enabled = false to deploy it so")
	}
}

func readTuning(t *table) {
	t.list("paths")
	t.required("paths")
	disables := false
	for _, key := range []string{"disable-rule-ids", "disable_rule_ids"} {
		t.is(key, listShape(&shape{Type: "integer"}))
		ids, _ := t.get(key)
		list, isList := ids.([]any)
		if ids != nil && !isList {
			t.fail(key, "expected a list of the numbers of rules, found %s", kindOf(ids))
		}
		for _, id := range list {
			if _, isNumber := id.(int64); !isNumber {
				t.fail(key, "expected a list of the numbers of rules, found %s in it", kindOf(id))
			}
		}
		disables = disables || len(list) > 0
	}
	for _, key := range []string{"skip-body-inspection", "skip_body_inspection"} {
		skips := t.flag(key)
		disables = disables || skips
	}
	t.text("reason")
	if !disables {
		t.doc.fail(t.path, "disables nothing: give disable-rule-ids or skip-body-inspection")
	}
	t.done()
}

func readBans(waf *table) {
	t := waf.table("bans")
	if t == nil {
		return
	}
	t.flag("enabled")
	t.integer("threshold", 1, 1_000_000)
	for _, key := range []string{"window", "duration"} {
		t.matching(key, wafDuration, "a time such as \"10m\" or \"1h\"")
	}
	t.done()
}
