package manifest

import (
	"slices"
	"strconv"
	"time"

	"github.com/abilian/hop3/hop3"
)

// wafDuration is a time as [waf.bans] writes it: "10m".
const wafDuration = `^[1-9][0-9]*[smhd]$`

// longestBan bounds the times of [waf.bans].
const longestBan = 365 * 24 * time.Hour

// readWAF reads [waf], the firewall in front of an app. All of it is checked,
// also where it is not enabled.
func readWAF(r *reading) {
	t := r.table.table("waf")
	if t == nil {
		return
	}
	enabled := t.flag("enabled")
	w := &hop3.WAF{Paranoia: 1, Detect: t.oneOf("mode", "block", "detect") == "detect"}
	t.oneOf("ruleset", "owasp-crs")
	if n := t.integer("paranoia", 1, 4); n != 0 {
		w.Paranoia = n
	}
	w.Allow = t.patterns("allow")
	for _, gate := range t.tables("gate") {
		w.Gates = append(w.Gates, readGate(gate))
	}
	for _, tuning := range t.tables("tuning") {
		w.Tunings = append(w.Tunings, readTuning(tuning))
	}
	w.Bans = readBans(t)
	t.done()
	if !enabled || t.describing() || len(t.doc.problems) > 0 {
		return
	}
	if err := w.Validate(); err != nil {
		t.fail("enabled", "%s", hop3.MessageOf(err))
		return
	}
	r.manifest.WAF = w
}

// patterns is a list of regular expressions.
func (t *table) patterns(key string) []string {
	list := t.list(key)
	for _, pattern := range list {
		if isBlankText(pattern) {
			continue // reported already
		}
		if err := hop3.ValidateWAFPattern(pattern); err != nil {
			t.fail(key, "%s", hop3.MessageOf(err))
		}
	}
	return list
}

func readGate(t *table) hop3.WAFGate {
	gate := hop3.WAFGate{Paths: t.patterns("paths"), Network: t.text("require")}
	t.required("paths", "require")
	switch {
	case gate.Network == "auth":
		t.fail("require", "\"auth\" is reserved: name a network")
	case gate.Network != "":
		if err := hop3.ValidateNetworkName(gate.Network); err != nil {
			t.fail("require", "%s", hop3.MessageOf(err))
		}
	}
	t.done()
	return gate
}

func readTuning(t *table) hop3.WAFTuning {
	tuning := hop3.WAFTuning{Paths: t.patterns("paths")}
	for _, key := range []string{"disable-rule-ids", "disable_rule_ids"} {
		tuning.Rules = append(tuning.Rules, t.ruleIDs(key)...)
	}
	for _, key := range []string{"skip-body-inspection", "skip_body_inspection"} {
		skips := t.flag(key)
		tuning.SkipBody = tuning.SkipBody || skips
	}
	tuning.Reason = t.text("reason")
	if len(tuning.Rules) == 0 && !tuning.SkipBody {
		t.doc.fail(t.path, "disables nothing: give disable-rule-ids or skip-body-inspection")
	}
	t.done()
	slices.Sort(tuning.Rules)
	tuning.Rules = slices.Compact(tuning.Rules)
	return tuning
}

func (t *table) ruleIDs(key string) (ids []int) {
	t.is(key, listShape(&shape{Type: "integer"}))
	v, present := t.get(key)
	list, isList := v.([]any)
	if present && !isList {
		t.fail(key, "expected a list of the numbers of rules, found %s", kindOf(v))
	}
	for _, id := range list {
		n, isNumber := id.(int64)
		if !isNumber {
			t.fail(key, "expected a list of the numbers of rules, found %s in it", kindOf(id))
			continue
		}
		ids = append(ids, int(n))
	}
	return ids
}

// readBans reads [waf.bans], nil where nobody is banned.
func readBans(waf *table) *hop3.WAFBans {
	t := waf.table("bans")
	if t == nil {
		return nil
	}
	enabled := t.flag("enabled")
	bans := &hop3.WAFBans{Threshold: 5, Window: t.banTime("window", 10*time.Minute), Duration: t.banTime("duration", time.Hour)}
	if n := t.integer("threshold", 1, 1000); n != 0 {
		bans.Threshold = n
	}
	t.done()
	if !enabled {
		return nil
	}
	return bans
}

// banTime is a time of at most a year.
func (t *table) banTime(key string, otherwise time.Duration) time.Duration {
	text := t.matching(key, wafDuration, "a time such as \"10m\" or \"1h\"")
	if text == "" {
		return otherwise
	}
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	if unit == 0 {
		return otherwise // reported already
	}
	if err != nil || n > int64(longestBan/unit) {
		t.fail(key, "%q is longer than a year", cut(text))
		return otherwise
	}
	return time.Duration(n) * unit
}
