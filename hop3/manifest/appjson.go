package manifest

import (
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// appJSON is what Hop3 takes of Heroku's app.json, which it reads so that an
// app of there needs no other file. Everything else that is in one is left
// alone, since much of it is for others.
type appJSON struct {
	defaults   hop3.Env // values of variables that nobody sets
	generated  map[string]hop3.Generate
	required   map[string]string // variable -> what it is for
	postDeploy []string
	formation  map[string]int // process type -> instances
	health     hop3.HealthCheck
	cron       []hop3.CronEntry
	addons     []hop3.AddonRequest
	warnings   []string
}

func loadAppJSON(fsys fs.FS) (*appJSON, error) {
	name, data, err := readFirst(fsys, "hop3/app.json", "app.json")
	if err != nil || data == nil {
		return &appJSON{}, err
	}
	return parseAppJSON(name, data)
}

func parseAppJSON(name string, data []byte) (*appJSON, error) {
	doc := parseJSON(name, data)
	a := &appJSON{
		defaults: hop3.Env{}, generated: map[string]hop3.Generate{}, required: map[string]string{}, formation: map[string]int{},
	}
	t := &table{doc: doc, values: doc.root}
	a.readEnv(t.table("env"))
	a.readScripts(t.table("scripts"))
	a.readFormation(t.table("formation"))
	a.readHealth(t.table("healthchecks"))
	a.readCron(t)
	a.readAddons(t)
	if err := doc.err(); err != nil {
		return nil, err
	}
	return a, nil
}

// readEnv reads variables: each a value, or a table with more about it.
func (a *appJSON) readEnv(t *table) {
	for _, key := range t.keys() {
		checkKey(t, key, "")
		if _, detailed := t.values[key].(map[string]any); detailed {
			a.readVariable(key, t.table(key))
			continue
		}
		a.setDefault(t, key, key)
	}
}

func (a *appJSON) readVariable(key string, t *table) {
	t.text("description")
	required := t.flag("required")
	generator := t.oneOf("generator", "secret")
	value, given := t.values["value"]
	given = given && value != ""
	switch {
	case generator != "" && given:
		t.fail("generator", "there is a value too: keep one of them")
	case generator != "":
		a.generated[key] = hop3.Generate{Kind: "hex"}
	case given:
		a.setDefault(t, "value", key)
	case required:
		a.required[key], _ = t.values["description"].(string)
	}
}

// setDefault takes the value at a key as a variable's. An empty one stands for
// one that is to be filled in.
func (a *appJSON) setDefault(t *table, at, key string) {
	value := t.scalar(at)
	t.checkValue(at, value)
	if value != "" {
		a.defaults[key] = value
	}
}

func (a *appJSON) readScripts(t *table) {
	if t == nil {
		return
	}
	if command := strings.TrimSpace(t.text("postdeploy")); command != "" {
		a.postDeploy = []string{command}
	}
}

func (a *appJSON) readFormation(t *table) {
	for _, kind := range t.keys() {
		if hop3.ValidateProcessType(kind) != nil {
			t.fail(kind, "cannot be a process type: use 1 to 31 letters, digits, '-' or '_'")
			continue
		}
		sub := t.table(kind)
		if sub == nil {
			continue
		}
		n := sub.integer("quantity", 0, hop3.MaxInstances)
		if _, given := sub.values["quantity"]; given {
			a.formation[kind] = n
		}
	}
}

// checkTypes are the types of health check, the one that says most about a
// start first.
var checkTypes = []string{"startup", "readiness", "liveness"}

// readHealth takes the first startup or readiness check of the web process that
// asks for a path.
func (a *appJSON) readHealth(t *table) {
	if t == nil {
		return
	}
	best := len(checkTypes)
	for _, check := range t.tables(hop3.ProcessWeb) {
		kind := check.oneOf("type", checkTypes...)
		if kind == "" {
			kind = checkTypes[0]
		}
		h := hop3.HealthCheck{
			Path:     check.requestPath("path"),
			Contains: check.text("content"),
			Timeout:  check.seconds("timeout"),
			Retries:  check.integer("attempts", 1, 1000),
		}
		if rank := slices.Index(checkTypes, kind); h.Path != "" && kind != "liveness" && rank >= 0 && rank < best {
			a.health, best = h, rank
		}
		if _, command := check.get("command"); command {
			a.warnings = append(a.warnings, "the health check of app.json that is a command is not made: only those with a path are")
		}
	}
}

func (a *appJSON) readCron(t *table) {
	for _, t := range t.tables("cron") {
		entry := hop3.CronEntry{Schedule: strings.TrimSpace(t.text("schedule")), Command: strings.TrimSpace(t.text("command"))}
		t.required("schedule", "command")
		if entry.Schedule != "" {
			if problem := scheduleProblem(entry.Schedule); problem != "" {
				t.fail("schedule", "%s", problem)
			}
		}
		a.cron = append(a.cron, entry)
	}
	if len(a.cron) > maxCron {
		t.fail("cron", "there are %d cron entries, more than %d", len(a.cron), maxCron)
	}
}

// herokuAddons are the addons of Heroku's market that Hop3 has something for.
var herokuAddons = map[string]string{
	"heroku-postgresql": "postgres", "heroku-redis": "redis", "heroku-key-value-store": "redis", "rediscloud": "redis", "redistogo": "redis",
	"jawsdb": "mysql", "jawsdb-maria": "mysql", "cleardb": "mysql", "stackhero-mariadb": "mysql", "bucketeer": "s3",
}

// readAddons takes the addons by what they are here, whatever their plan.
func (a *appJSON) readAddons(t *table) {
	v, declared := t.get("addons")
	list, isList := v.([]any)
	if declared && !isList {
		t.fail("addons", "expected a list, found %s", kindOf(v))
	}
	for i, item := range list {
		path := append(t.at("addons"), strconv.Itoa(i))
		plan, isText := item.(string)
		if more, detailed := item.(map[string]any); detailed {
			plan, isText = more["plan"].(string)
		}
		name, _, _ := strings.Cut(plan, ":")
		kind := herokuAddons[name]
		if slices.Contains(addonTypes, name) {
			kind = name
		}
		switch {
		case !isText:
			t.doc.fail(path, "expected the name of an addon, found %s", kindOf(item))
		case kind == "":
			t.doc.fail(path, "'%s': Hop3 has no such addon. It has %s: set the variables that the app expects with `hop3 env set`, and take this out", cut(plan), strings.Join(addonTypes, ", "))
		case byHand[kind] != "":
			t.doc.fail(path, "'%s' cannot be declared: %s", cut(plan), byHand[kind])
		case !slices.ContainsFunc(a.addons, func(r hop3.AddonRequest) bool { return r.Type == kind }):
			a.addons = append(a.addons, hop3.AddonRequest{Type: kind, Options: map[string][]string{}})
		}
	}
}

// keys are a table's keys in order; none of a nil one.
func (t *table) keys() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.values))
}

// under lays app.json below what hop3.toml and the Procfile declare.
func (a *appJSON) under(m *Manifest) {
	declared := func(key string) bool {
		_, static := m.Env.Static[key]
		_, generated := m.Env.Generated[key]
		_, reference := m.Env.References[key]
		_, computed := m.Env.Computed[key]
		return static || generated || reference || computed
	}
	m.Env.Defaults = without(a.defaults, declared)
	m.Env.Required = without(a.required, declared)
	if generated := without(a.generated, declared); m.Env.Generated == nil {
		m.Env.Generated = generated
	} else {
		maps.Copy(m.Env.Generated, generated)
	}
	m.PostDeploy = a.postDeploy
	for _, addon := range a.addons {
		if !slices.ContainsFunc(m.Addons, func(r hop3.AddonRequest) bool { return r.Type == addon.Type }) {
			m.Addons = append(m.Addons, addon)
		}
	}
	m.Warnings = append(m.Warnings, a.warnings...)
	m.Health = healthUnder(m.Health, a.health)
	switch {
	case len(m.Cron) == 0:
		m.Cron = a.cron
		nameCron(m.Cron)
	case len(a.cron) > 0:
		m.Warnings = append(m.Warnings, "the cron entries of app.json are not used: the Procfile or hop3.toml has some, which replace them")
	}
}

// without is what vars has under names that are not taken; nil for nothing.
func without[M ~map[string]V, V any](vars M, taken func(string) bool) M {
	maps.DeleteFunc(vars, func(key string, _ V) bool { return taken(key) })
	if len(vars) == 0 {
		return nil
	}
	return vars
}

// healthUnder fills in what a health check leaves open. What a page must
// contain goes with its path.
func healthUnder(declared, below hop3.HealthCheck) hop3.HealthCheck {
	if declared.Path == "" && declared.Contains == "" {
		declared.Path, declared.Contains = below.Path, below.Contains
	}
	pick := func(d, b time.Duration) time.Duration {
		if d == 0 {
			return b
		}
		return d
	}
	declared.Timeout = pick(declared.Timeout, below.Timeout)
	if declared.Retries == 0 {
		declared.Retries = below.Retries
	}
	return declared
}
