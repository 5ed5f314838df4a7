package platform

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/env"
	"github.com/abilian/hop3/hop3/manifest"
)

// resolveEnv returns the environment of a deploy of m with the variables given
// to it.
func (p *Platform) resolveEnv(ctx context.Context, app hop3.App, m *manifest.Manifest, given hop3.Env) (env.Resolved, error) {
	file, err := env.Parse(m.EnvFile)
	if err != nil {
		return env.Resolved{}, hop3.Errorf(hop3.CodeInvalid, "the file ENV: %w", err)
	}
	origins, err := p.originsOf(ctx, app)
	if err != nil {
		return env.Resolved{}, err
	}
	addons, err := p.addonEnv(ctx, app.Name)
	if err != nil {
		return env.Resolved{}, err
	}
	known, err := p.addonFacts(ctx, app.Name)
	if err != nil {
		return env.Resolved{}, err
	}
	return env.Resolve(env.Request{
		Section: m.Env, Stored: app.Env, Given: given, File: file, Origins: origins, Addons: addons, AddonFacts: known,
		Domains: m.Domains, DomainsOverride: m.DomainsOverride,
		Server: func(vars hop3.Env) hop3.Env {
			return p.serverEnv(p.hostsOf(app.Name, vars), m.AllowHTTP).Merge(accountVariables(app, m))
		},
		Facts: p.facts(app.Name),
	})
}

// originsOf returns where the variables of the app's live release come from.
func (p *Platform) originsOf(ctx context.Context, app hop3.App) (map[string]string, error) {
	if app.Live == 0 {
		return nil, nil
	}
	live, err := p.Store.Release(ctx, app.Name, app.Live)
	return live.Origins, err
}

// serverEnv is what the server says about an app of these hosts.
func (p *Platform) serverEnv(hosts []string, allowHTTP bool) hop3.Env {
	vars := hop3.Env{"HOP3_ALLOW_HTTP": "false"}
	if allowHTTP {
		vars["HOP3_ALLOW_HTTP"] = "true"
	}
	if url := p.publicURL(hosts); url != "" {
		vars[publicURL] = url
	}
	return vars
}

const publicURL = "HOP3_PUBLIC_URL"

// storedEnv returns the variables of a release that are kept with its app; of
// one that does not know where its variables come from, all.
func storedEnv(r hop3.Release) hop3.Env {
	vars := hop3.Env{}
	for key, value := range r.Env {
		if origin, known := r.Origins[key]; !known || hop3.OriginStored(origin) {
			vars[key] = value
		}
	}
	return vars
}

// LiveEnv returns what the processes of a running app have, but for what only
// an instance has, and the name of the runtime that gave it to them. When
// nothing of the app runs, that is a CodeInvalid error.
func (p *Platform) LiveEnv(ctx context.Context, who Actor, name string) (hop3.Env, string, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleDeployer)
	if err != nil {
		return nil, "", err
	}
	if app.Live == 0 || !app.Awake() {
		return nil, "", hop3.Errorf(hop3.CodeInvalid, "App '%s' is not running.", name)
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return nil, "", err
	}
	return p.launch(live).Env, p.Runtime.Name(), nil
}

// EnvVar is a variable as a process gets it.
type EnvVar struct {
	Key, Value string
	Origin     string // a hop3.Origin… constant
}

// EnvOrigins returns all that the processes of the app's live release get,
// with where it comes from, in order of that and of the keys; before the first
// deploy, what is set so far. What only an instance has, such as its PORT, is
// not among it.
func (p *Platform) EnvOrigins(ctx context.Context, who Actor, name string) ([]EnvVar, error) {
	app, role, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return nil, err
	}
	vars, origins := app.Env, map[string]string{}
	if app.Live != 0 {
		live, err := p.Store.Release(ctx, name, app.Live)
		if err != nil {
			return nil, err
		}
		vars = p.launch(live).Env
		maps.Copy(origins, live.Origins)
		for key := range vars {
			_, built := live.Artifact.Env[key]
			_, declared := live.Env[key]
			switch {
			case built:
				origins[key] = hop3.OriginToolchain
			case !declared:
				origins[key] = hop3.OriginServer
			}
		}
	}
	if role < hop3.RoleDeployer {
		vars = redacted(vars)
	}
	var out []EnvVar
	for key, value := range vars {
		out = append(out, EnvVar{key, value, cmp.Or(origins[key], hop3.OriginConfig)})
	}
	slices.SortFunc(out, func(a, b EnvVar) int {
		return cmp.Or(strings.Compare(a.Origin, b.Origin), strings.Compare(a.Key, b.Key))
	})
	return out, nil
}
