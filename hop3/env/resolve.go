package env

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Resolved is the environment of a deploy.
type Resolved struct {
	Env   hop3.Env // everything
	Store hop3.Env // what is new or changed, to be kept with the app
	Kept  []string // declared values that an older one hides
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
// values as their policy says, secrets and defaults where there is none, then
// references and the computed values, which always win.
func Resolve(section hop3.EnvSection, stored hop3.Env, facts Facts) (Resolved, error) {
	r := Resolved{Env: stored.Clone(), Store: hop3.Env{}}
	for _, key := range section.Static.Keys() {
		value := section.Static[key]
		if old, exists := stored[key]; exists && !section.Override {
			if old != value {
				r.Kept = append(r.Kept, key)
			}
			continue
		}
		r.set(key, value)
	}
	for _, key := range slices.Sorted(maps.Keys(section.Generated)) {
		if _, exists := r.Env[key]; exists {
			continue
		}
		secret, err := Generate(section.Generated[key])
		if err != nil {
			return Resolved{}, fmt.Errorf("generating %s: %w", key, err)
		}
		r.set(key, secret)
		if section.Generated[key].Display {
			r.Display = append(r.Display, key)
		}
	}
	for _, key := range section.Defaults.Keys() {
		if _, exists := r.Env[key]; !exists {
			r.set(key, section.Defaults[key])
		}
	}
	if err := r.refer(section.References, facts); err != nil {
		return Resolved{}, err
	}
	if err := r.compute(section.Computed); err != nil {
		return Resolved{}, err
	}
	if err := r.missing(section.Required); err != nil {
		return Resolved{}, err
	}
	for _, key := range r.Store.Keys() {
		if err := hop3.ValidateEnvValue(key, r.Store[key]); err != nil {
			return Resolved{}, err
		}
	}
	return r, nil
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
func (r *Resolved) refer(references map[string]hop3.Reference, facts Facts) error {
	if len(references) == 0 {
		return nil
	}
	known := facts(r.Env)
	for _, key := range slices.Sorted(maps.Keys(references)) {
		value, ok := known[references[key].Fact]
		if !ok {
			return hop3.Errorf(hop3.CodeInvalid, "[env] %s refers to '%s', which the app does not have", key, references[key].Fact).
				WithHint("It has: %s. A domain is given by [domains] or `hop3 env set HOST_NAME=…`.", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		r.set(key, value)
	}
	return nil
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
		r.set(key, value)
		return nil
	}
	for _, key := range templates.Keys() {
		if err := visit(key); err != nil {
			return err
		}
	}
	return nil
}

func (r *Resolved) set(key, value string) {
	if old, exists := r.Env[key]; !exists || old != value {
		r.Store[key] = value
	}
	r.Env[key] = value
}
