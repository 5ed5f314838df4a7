package env

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Request is what the environment of a deploy is made of.
type Request struct {
	Section hop3.EnvSection
	Stored  hop3.Env // set by users, or kept from an earlier deploy
	Given   hop3.Env // set for this deploy, over what is stored
	File    hop3.Env // of the source's ENV file, below what is stored
	// Addons are the variables that attached addons give. They hide those set
	// by users. AddonFacts are what references to addons refer to, by the
	// addon's name, a dot and the key.
	Addons     hop3.Env
	AddonFacts map[string]string
	// Origins says where the stored values come from, as the last deploy left
	// it; what it does not know was set by users.
	Origins map[string]string
	// Domains are the hosts of the manifest: the value of HOST_NAME unless
	// users set that. With DomainsOverride, also then.
	Domains         []string
	DomainsOverride bool
	// Server returns what the server says about an app of these variables.
	Server func(vars hop3.Env) hop3.Env
	// Facts returns what references refer to.
	Facts Facts
}

// Resolved is the environment of a deploy.
type Resolved struct {
	Env     hop3.Env          // everything
	Origins map[string]string // where each of Env comes from: a hop3.Origin…
	Store   hop3.Env          // what is new or changed, to be kept with the app
	Changed int               // how many of Store come from the manifest's own values
	Kept    []string          // declared values that an older one hides
	// Display names the generated secrets to show once.
	Display []string
	// Unresolved names the computed variables that still mention a variable
	// nobody set.
	Unresolved []string
}

// Facts returns what references refer to; vars are the variables so far, as a
// fact may depend on one of them.
type Facts func(vars hop3.Env) map[string]string

// Resolve lays what a manifest declares over the variables an app has: static
// values as their policy says, secrets and defaults where there is none, the
// hosts, what the server says, then references and the computed values, which
// always win.
func Resolve(q Request) (Resolved, error) {
	r := Resolved{Env: hop3.Env{}, Origins: map[string]string{}, Store: hop3.Env{}}
	r.lay(q.File, hop3.OriginFile)
	r.lay(q.Stored, hop3.OriginConfig)
	for key := range q.Stored {
		if origin := q.Origins[key]; hop3.OriginStored(origin) {
			r.Origins[key] = origin
		}
	}
	r.lay(q.Given, hop3.OriginConfig)
	r.lay(q.Addons, hop3.OriginAddon)
	section := q.Section
	for _, key := range section.Static.Keys() {
		value := section.Static[key]
		if old, exists := r.Env[key]; exists && !section.Override {
			if old != value {
				r.Kept = append(r.Kept, key)
			}
			continue
		}
		r.set(key, value, hop3.OriginManifest)
	}
	for _, key := range slices.Sorted(maps.Keys(section.Generated)) {
		if _, exists := r.Env[key]; exists {
			continue
		}
		secret, err := Generate(section.Generated[key])
		if err != nil {
			return Resolved{}, fmt.Errorf("generating %s: %w", key, err)
		}
		r.set(key, secret, hop3.OriginGenerated)
		if section.Generated[key].Display {
			r.Display = append(r.Display, key)
		}
	}
	for _, key := range section.Defaults.Keys() {
		if _, exists := r.Env[key]; !exists {
			r.set(key, section.Defaults[key], hop3.OriginAppJSON)
		}
	}
	r.Changed = len(r.Store)
	r.domains(q)
	if q.Server != nil {
		r.lay(q.Server(r.Env), hop3.OriginServer)
	}
	if err := r.refer(section.References, q); err != nil {
		return Resolved{}, err
	}
	if err := r.compute(section.Computed); err != nil {
		return Resolved{}, err
	}
	if err := r.missing(section.Required); err != nil {
		return Resolved{}, err
	}
	for key, value := range q.Given {
		if r.Origins[key] == hop3.OriginConfig {
			r.Store[key] = value
		}
	}
	for _, key := range r.Env.Keys() {
		if err := hop3.ValidateEnvValue(key, r.Env[key]); err != nil {
			return Resolved{}, err
		}
	}
	return r, nil
}

// lay puts variables that are not for keeping over those so far.
func (r *Resolved) lay(vars hop3.Env, origin string) {
	for key, value := range vars {
		r.Env[key], r.Origins[key] = value, origin
	}
}

// domains makes HOST_NAME the manifest's hosts. It is not kept: what is stored
// under that name was set by users, and hides them.
func (r *Resolved) domains(q Request) {
	if len(q.Domains) == 0 {
		return
	}
	value := strings.Join(q.Domains, " ")
	if old, exists := r.Env[hop3.HostName]; exists && !q.DomainsOverride {
		if old != value {
			r.Kept = append(r.Kept, hop3.HostName)
		}
		return
	}
	r.lay(hop3.Env{hop3.HostName: value}, hop3.OriginDomains)
}

// missing reports all variables at once that an app cannot do without.
func (r *Resolved) missing(required map[string]string) error {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(required)) {
		if r.Env[key] != "" {
			continue
		}
		if what := required[key]; what != "" {
			key += " (" + what + ")"
		}
		names = append(names, key)
	}
	if len(names) == 0 {
		return nil
	}
	return hop3.Errorf(hop3.CodeInvalid, "app.json requires variables that are not set: %s", strings.Join(names, ", ")).
		WithHint("Set them with `hop3 env set NAME=value`, and deploy again.")
}

// refer sets the variables that are facts.
func (r *Resolved) refer(references map[string]hop3.Reference, q Request) error {
	if len(references) == 0 {
		return nil
	}
	known := q.Facts(r.Env)
	for _, key := range slices.Sorted(maps.Keys(references)) {
		ref := references[key]
		value, ok := known[ref.Fact]
		if ref.From != "" {
			value, ok = q.addonFact(ref)
		}
		switch {
		case ok:
			r.set(key, value, hop3.OriginReference)
		case ref.From != "":
			return q.noAddonFact(key, ref)
		default:
			return hop3.Errorf(hop3.CodeInvalid, "[env] %s refers to '%s', which the app does not have", key, ref.Fact).
				WithHint("It has: %s. A domain is given by [domains] or `hop3 env set HOST_NAME=…`.", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return nil
}

// addonFact returns a fact about an addon; its names are of any case.
func (q Request) addonFact(ref hop3.Reference) (string, bool) {
	for name, value := range q.AddonFacts {
		if addon, key, _ := strings.Cut(name, "."); addon == ref.From && strings.EqualFold(key, ref.Fact) {
			return value, true
		}
	}
	return "", false
}

func (q Request) noAddonFact(variable string, ref hop3.Reference) error {
	addons, keys := map[string]bool{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(q.AddonFacts)) {
		addon, key, _ := strings.Cut(name, ".")
		if addons[addon] = true; addon == ref.From {
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		return hop3.Errorf(hop3.CodeInvalid, "[env] %s refers to '%s' of the addon '%s', which has no such thing", variable, ref.Fact, ref.From).
			WithHint("It has: %s.", strings.Join(keys, ", "))
	}
	err := hop3.Errorf(hop3.CodeInvalid, "[env] %s refers to the addon '%s', which the app does not have", variable, ref.From)
	if len(addons) == 0 {
		return err.WithHint("It has none: declare it in [[addons]], or attach one with `hop3 addon attach`.")
	}
	return err.WithHint("It has: %s.", strings.Join(slices.Sorted(maps.Keys(addons)), ", "))
}

// compute expands the templates, those that others mention first.
func (r *Resolved) compute(templates hop3.Env) error {
	const (
		waiting = iota
		open
		done
	)
	state := map[string]int{}
	var visit func(key string) error
	visit = func(key string) error {
		switch state[key] {
		case done:
			return nil
		case open:
			return hop3.Errorf(hop3.CodeInvalid, "[env.computed] %s refers to itself", key)
		}
		state[key] = open
		for _, name := range names(templates[key]) {
			if _, computed := templates[name]; computed {
				if err := visit(name); err != nil {
					return err
				}
			}
		}
		state[key] = done
		value, missing, err := expand(templates[key], r.Env)
		if err != nil {
			return fmt.Errorf("computing %s: %w", key, err)
		}
		if len(missing) > 0 {
			r.Unresolved = append(r.Unresolved, key)
		}
		r.set(key, value, hop3.OriginComputed)
		return nil
	}
	for _, key := range templates.Keys() {
		if err := visit(key); err != nil {
			return err
		}
	}
	return nil
}

func (r *Resolved) set(key, value, origin string) {
	if old, exists := r.Env[key]; !exists || old != value {
		r.Store[key] = value
	}
	r.Env[key], r.Origins[key] = value, origin
}
