package manifest_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/manifest"
)

// withoutEffect are keys, or whole sections, that change nothing of what a
// server does, and why they are accepted all the same. All others must have an
// example in effects.
var withoutEffect = map[string]string{
	"metadata":          "for catalogues, and for the client, which takes the app's name from it",
	"contexts":          "the client's: it resolves them before it sends anything",
	"test":              "for the test harness of a catalogue",
	"build.ignore":      "the client's: it leaves these files out of an upload",
	"deploy.deployer":   "every runtime runs every app; the words are checked",
	"port":              "for readers: what listens where is told by $PORT and [[ports]]",
	"docker":            "of the builder docker; a deploy says what has no effect",
	"nix":               "of the builder nix; a deploy says what has no effect",
	"http":              "a deploy says that it has no effect",
	"waf.ruleset":       "there is one only",
	"addons":            "refused",
	"provider":          "refused",
	"env.*.from":        "refused: it refers to an addon",
	"env.*.external_ip": "refused",
}

// effects has for each key two manifests that differ in it alone, written as
// one with both values: «this|that». What they declare must differ too.
var effects = map[string]string{
	"backup.schedule":                 "[backup]\nschedule = '«@daily|@weekly»'",
	"backup.timezone":                 "[backup]\ntimezone = '«UTC|Europe/Paris»'",
	"backup.keep":                     "[backup]\nkeep = «3|4»",
	"backup.proven":                   "[backup]\nproven = '«48h|72h»'",
	"backup.paths":                    "[backup]\npaths = ['«log|tmp»']",
	"backup.exclude":                  "[backup]\nexclude = ['«a|b»']",
	"backup.stop":                     "[backup]\nstop = «true|false»",
	"backup.local":                    "[backup]\nlocal = «true|false»",
	"volumes.backup.include":          "[[volumes]]\nname = 'a'\ntarget = 'x'\nbackup = { include = «true|false» }",
	"admin.username":                  "[admin]\nusername = '«a|b»'\npassword = { generate = 'hex' }",
	"admin.email":                     "[admin]\nemail = '«operator|b»'\npassword = { generate = 'hex' }",
	"admin.password.generate":         "[admin]\nemail = 'a'\npassword = { generate = '«hex|uuid»' }",
	"admin.password.length":           "[admin]\nemail = 'a'\npassword = { generate = 'hex', length = «8|9» }",
	"admin.password.prefix":           "[admin]\nemail = 'a'\npassword = { generate = 'hex', prefix = '«a|b»' }",
	"admin.password.display":          "[admin]\nemail = 'a'\npassword = { generate = 'hex', display = «true|false» }",
	"admin.create":                    "[admin]\nemail = 'a'\npassword = { generate = 'hex' }\ncreate = '«a|b»'",
	"admin.login":                     "[admin]\nusername = 'a'\nemail = 'b'\npassword = { generate = 'hex' }\nlogin = '«username|email»'",
	"build.after-build":               "[build]\nafter-build = '«a|b»'",
	"build.before-build":              "[build]\nbefore-build = '«a|b»'",
	"build.build":                     "[build]\nbuild = '«a|b»'",
	"build.builder":                   "[build]\nbuilder = '«local|auto»'",
	"build.node-version":              "[build]\nnode-version = '«20|22»'",
	"build.packages":                  "[build]\npackages = ['«a|b»']",
	"build.static-dir":                "[build]\nstatic-dir = '«a|b»'",
	"build.strict":                    "[build]\nstrict = «true|false»",
	"build.toolchain":                 "[build]\ntoolchain = '«node|go»'",
	"cron.command":                    "[[cron]]\nschedule = '@daily'\ncommand = '«a|b»'",
	"cron.name":                       "[[cron]]\nschedule = '@daily'\ncommand = 'a'\nname = '«a|b»'",
	"cron.overlap":                    "[[cron]]\nschedule = '@daily'\ncommand = 'a'\noverlap = «true|false»",
	"cron.schedule":                   "[[cron]]\nschedule = '@«daily|hourly»'\ncommand = 'a'",
	"cron.timeout":                    "[[cron]]\nschedule = '@daily'\ncommand = 'a'\ntimeout = «5|6»",
	"cron.timezone":                   "[[cron]]\nschedule = '@daily'\ncommand = 'a'\ntimezone = 'Europe/«Paris|Berlin»'",
	"deploy.allow-http":               "[deploy]\nallow-http = «true|false»",
	"deploy.allow_http":               "[deploy]\nallow_http = «true|false»",
	"deploy.keep":                     "[deploy]\nkeep = «2|3»",
	"domains._policy":                 "[domains]\nlist = ['a.example']\n_policy = '«override|keep-existing»'",
	"domains.policy":                  "[domains]\nlist = ['a.example']\npolicy = '«override|keep-existing»'",
	"domains.list":                    "[domains]\nlist = ['«a|b».example']",
	"env._policy":                     "[env]\n_policy = '«override|keep-existing»'",
	"env.computed":                    "[env.computed]\nA = '«a|b»'",
	"env.*.display":                   "[env]\nA = { generate = 'hex', display = «true|false» }",
	"env.*.generate":                  "[env]\nA = { generate = '«hex|uuid»' }",
	"env.*.key":                       "[env]\nA = { key = '«domain|name»' }",
	"env.*.length":                    "[env]\nA = { generate = 'hex', length = «8|9» }",
	"env.*.prefix":                    "[env]\nA = { generate = 'hex', prefix = '«a|b»' }",
	"healthcheck.contains":            "[healthcheck]\ncontains = '«a|b»'",
	"healthcheck.interval":            "[healthcheck]\ninterval = «5|6»",
	"healthcheck.path":                "[healthcheck]\npath = '/«a|b»'",
	"healthcheck.retries":             "[healthcheck]\nretries = «5|6»",
	"healthcheck.timeout":             "[healthcheck]\ntimeout = «5|6»",
	"limits.cpu":                      "[limits]\ncpu = «1|2»",
	"limits.memory":                   "[limits]\nmemory = '«1M|2M»'",
	"limits.processes":                "[limits]\nprocesses = «5|6»",
	"ports.name":                      "[[ports]]\nnumber = 2525\nname = '«a|b»'",
	"ports.number":                    "[[ports]]\nnumber = «2525|2526»",
	"ports.protocol":                  "[[ports]]\nnumber = 2525\nprotocol = '«tcp|udp»'",
	"ports.source":                    "[[ports]]\nnumber = 2525\nsource = '«any|10.0.0.0/8»'",
	"probe.create":                    "[probe]\ncreate = '«a|b»'",
	"probe.email":                     "[probe]\ncreate = 'a'\nemail = '«a|b»'",
	"probe.username":                  "[probe]\ncreate = 'a'\nusername = '«a|b»'",
	"run.before-run":                  "[run]\nbefore-run = '«a|b»'",
	"run.healthcheck":                 "[run]\nhealthcheck = '/«a|b»'",
	"run.healthcheck-timeout":         "[run]\nhealthcheck-timeout = «5|6»",
	"run.packages":                    "[run]\npackages = ['«a|b»']",
	"run.start":                       "[run]\nstart = '«a|b»'",
	"run.start-timeout":               "[run]\nstart-timeout = «5|6»",
	"run.static":                      "[run.static]\n'/a' = '«a|b»'",
	"run.workers.cron":                "[run.workers]\ncron = ['* * * * * «a|b»']",
	"scaling.*.count":                 "[run.workers]\nweb = 'a'\n[scaling.web]\ncount = «2|3»",
	"scaling.*.max":                   "[scaling.web]\nmax = «2|3»",
	"scaling.*.min":                   "[scaling.web]\nmin = «1|2»\nmax = 3",
	"scaling.*.sleep-after":           "[scaling.web]\nsleep-after = '«5m|6m»'",
	"scaling.*.target-concurrency":    "[scaling.web]\nmax = 3\ntarget-concurrency = «5|6»",
	"static":                          "[static]\n'/a' = '«a|b»'",
	"waf.allow":                       "[waf]\nenabled = true\nallow = ['/«a|b»']",
	"waf.bans.duration":               "[waf]\nenabled = true\n[waf.bans]\nenabled = true\nduration = '«1h|1d»'",
	"waf.bans.enabled":                "[waf]\nenabled = true\n[waf.bans]\nenabled = «true|false»",
	"waf.bans.threshold":              "[waf]\nenabled = true\n[waf.bans]\nenabled = true\nthreshold = «1|2»",
	"waf.bans.window":                 "[waf]\nenabled = true\n[waf.bans]\nenabled = true\nwindow = '«1s|1m»'",
	"waf.enabled":                     "[waf]\nenabled = «true|false»",
	"waf.gate.paths":                  "[waf]\nenabled = true\n[[waf.gate]]\npaths = ['/«a|b»']\nrequire = 'office'",
	"waf.gate.require":                "[waf]\nenabled = true\n[[waf.gate]]\npaths = ['/a']\nrequire = '«office|vpn»'",
	"waf.mode":                        "[waf]\nenabled = true\nmode = '«block|detect»'",
	"waf.paranoia":                    "[waf]\nenabled = true\nparanoia = «1|2»",
	"waf.tuning.disable-rule-ids":     "[waf]\nenabled = true\n[[waf.tuning]]\ndisable-rule-ids = [94210«0|1»]",
	"waf.tuning.disable_rule_ids":     "[waf]\nenabled = true\n[[waf.tuning]]\ndisable_rule_ids = [94210«0|1»]",
	"waf.tuning.paths":                "[waf]\nenabled = true\n[[waf.tuning]]\npaths = ['/«a|b»']\ndisable-rule-ids = [942100]",
	"waf.tuning.reason":               "[waf]\nenabled = true\n[[waf.tuning]]\ndisable-rule-ids = [942100]\nreason = '«a|b»'",
	"waf.tuning.skip-body-inspection": "[waf]\nenabled = true\n[[waf.tuning]]\ndisable-rule-ids = [942100]\nskip-body-inspection = «true|false»",
	"waf.tuning.skip_body_inspection": "[waf]\nenabled = true\n[[waf.tuning]]\ndisable-rule-ids = [942100]\nskip_body_inspection = «true|false»",
	"volumes.mode":                    "[[volumes]]\nname = 'a'\ntarget = 'a'\nmode = '«700|750»'",
	"volumes.name":                    "[[volumes]]\nname = '«a|b»'\ntarget = 'a'",
	"volumes.read-only":               "[[volumes]]\nname = 'a'\ntarget = 'a'\ntype = 'bind'\nsource = '/a'\nread-only = «true|false»",
	"volumes.size":                    "[[volumes]]\nname = 'a'\ntarget = 'a'\ntype = 'tmpfs'\nsize = '«1M|2M»'",
	"volumes.source":                  "[[volumes]]\nname = 'a'\ntarget = 'a'\ntype = 'bind'\nsource = '/«a|b»'",
	"volumes.target":                  "[[volumes]]\nname = 'a'\ntarget = '«a|b»'",
	"volumes.type":                    "[[volumes]]\nname = 'a'\ntarget = 'a'\ntype = '«persist|tmpfs»'",
}

var choice = regexp.MustCompile(`«([^|]*)\|([^»]*)»`)

// TestNoDeadKeys walks through all keys that a hop3.toml may have. A key that
// is accepted and then forgotten would be a promise that nobody keeps. That what
// a manifest declares is also used is tests.TestNoDeadDeclarations' to say.
func TestNoDeadKeys(t *testing.T) {
	var schema node
	if err := json.Unmarshal(manifest.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	leaves := map[string]bool{}
	schema.leaves("", leaves)
	for _, key := range slices.Sorted(maps.Keys(leaves)) {
		example, has := effects[key]
		reason := whyWithoutEffect(key)
		switch {
		case has && reason != "":
			t.Errorf("%s has an effect, and a reason for none: %s", key, reason)
		case !has && reason == "":
			t.Errorf("%s is accepted: show its effect in effects, or say in withoutEffect why it has none", key)
		case has:
			checkEffect(t, key, example)
		}
	}
	for key := range effects {
		if !leaves[key] {
			t.Errorf("effects has %s, which is no key", key)
		}
	}
}

func checkEffect(t *testing.T, key, example string) {
	var both []*manifest.Manifest
	for _, value := range []string{"$1", "$2"} {
		m := mustLoad(t, map[string]string{"hop3.toml": choice.ReplaceAllString(example, value)})
		if len(m.Unsupported) > 0 {
			t.Errorf("%s: %v", key, m.Unsupported)
		}
		m.Warnings = nil
		both = append(both, m)
	}
	if reflect.DeepEqual(both[0], both[1]) {
		t.Errorf("%s changes nothing of what is declared:\n%s", key, example)
	}
}

// whyWithoutEffect is the reason for a key, or for what it is in.
func whyWithoutEffect(key string) string {
	for part := key; part != ""; {
		if reason := withoutEffect[part]; reason != "" {
			return reason
		}
		cut := strings.LastIndexByte(part, '.')
		part = part[:max(cut, 0)]
	}
	return ""
}

// node is a part of the schema.
type node struct {
	Properties map[string]*node `json:"properties"`
	Items      *node            `json:"items"`
	AnyOf      []*node          `json:"anyOf"`
	Rest       json.RawMessage  `json:"additionalProperties"`
}

// leaves collects the keys that hold no others; "*" stands for a name of the
// app's own.
func (n *node) leaves(path string, into map[string]bool) {
	found := len(into)
	for key, sub := range n.Properties {
		sub.leaves(strings.TrimPrefix(path+"."+key, "."), into)
	}
	if n.Items != nil && len(n.Items.Properties) > 0 {
		n.Items.leaves(path, into)
	}
	var rest node
	if json.Unmarshal(n.Rest, &rest) == nil {
		for _, one := range append(rest.AnyOf, &rest) {
			if len(one.Properties) > 0 {
				one.leaves(path+".*", into)
			}
		}
	}
	if len(into) == found {
		into[path] = true
	}
}
