package platform

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/env"
)

// facts are what an app's variables may refer to.
func (p *Platform) facts(app string) env.Facts {
	return func(vars hop3.Env) map[string]string {
		facts := map[string]string{hop3.FactName: app}
		for _, host := range slices.Backward(p.hostsOf(app, vars)) {
			if strings.HasPrefix(host, "*.") {
				continue
			}
			facts[hop3.FactHostname] = host
			if !hop3.LocalHost(host) {
				facts[hop3.FactDomain] = host
			}
		}
		return facts
	}
}

// EnvChange is what SetEnv did.
type EnvChange struct {
	Added, Updated, Removed []string
	Old                     hop3.Env // the values that were replaced or removed
	Release                 int      // the new live release; 0 when nothing runs
}

// Env returns the variables set for the app.
func (p *Platform) Env(ctx context.Context, who Actor, name string) (hop3.Env, error) {
	app, role, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return nil, err
	}
	if role < hop3.RoleDeployer {
		return redacted(app.Env), nil
	}
	return app.Env.Clone(), nil
}

// SetEnv sets and removes variables, all or none of them. A running app gets
// them at once, by a new release; when that does not become ready, the
// variables are as before and so is what runs.
func (p *Platform) SetEnv(ctx context.Context, who Actor, name string, set hop3.Env, unset []string, out hop3.Output) (EnvChange, error) {
	return p.editEnv(ctx, who, name, func(hop3.Env) (hop3.Env, []string, error) { return set, unset, nil }, out)
}

// editEnv is SetEnv of what edit makes of the variables in force: those of the
// live release, or those set so far.
func (p *Platform) editEnv(ctx context.Context, who Actor, name string, edit func(current hop3.Env) (set hop3.Env, unset []string, err error), out hop3.Output) (EnvChange, error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return EnvChange{}, err
	}
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return EnvChange{}, err
	}
	defer unlock()
	before, err := p.Store.App(ctx, name)
	if err != nil {
		return EnvChange{}, err
	}
	live, current := hop3.Release{}, before.Env
	if before.Live != 0 {
		if live, err = p.Store.Release(ctx, name, before.Live); err != nil {
			return EnvChange{}, err
		}
		current = live.Env
	}
	set, unset, err := edit(current)
	if err != nil {
		return EnvChange{}, err
	}
	if err := p.checkEnv(set); err != nil {
		return EnvChange{}, err
	}
	if before.Live == 0 && set[hop3.HostName] != "" {
		// Two apps that were not deployed yet have no claims to be told apart by.
		unlockHosts, err := p.locks.acquire(ctx, "hosts to come", false, nil)
		if err != nil {
			return EnvChange{}, err
		}
		defer unlockHosts()
	}
	if err := p.checkClaims(ctx, name, hostList(set[hop3.HostName])); err != nil {
		return EnvChange{}, err
	}
	change := envChange(before.Env, set, unset)
	if len(change.Added)+len(change.Updated)+len(change.Removed) == 0 {
		return change, nil
	}
	if before.Live == 0 {
		return change, p.storeEnv(ctx, name, set, unset, configChanged(asked(ctx, who), name, changedVariables("", before.Env, changed(before.Env, set, unset))))
	}
	apply := func(r *hop3.Release) {
		p.applyEnv(r, set, unset)
	}
	resting, err := p.whileResting(ctx, name, func(app hop3.App) error {
		next := live
		next.Kind = hop3.ReleaseEnv
		apply(&next)
		return p.changeStopped(ctx, who, app, next, set, unset)
	})
	if resting || err != nil {
		return change, err
	}
	_, notes := hop3.HTTPVariables(set)
	for _, note := range notes {
		tell(out, 1, "yellow", "       Warning: %s", note)
	}
	r, err := p.rereleaseLocked(ctx, who, before, live, hop3.ReleaseEnv, apply, out)
	if err != nil {
		return EnvChange{}, err
	}
	change.Release = r.Number
	return change, p.storeEnv(context.WithoutCancel(ctx), name, set, unset)
}

// changeStopped records a release that nothing runs yet: the next start runs
// it, or the next request when the app is asleep. See whileResting.
func (p *Platform) changeStopped(ctx context.Context, who Actor, app hop3.App, next hop3.Release, set hop3.Env, unset []string) error {
	ctx = asked(ctx, who)
	old, err := p.Store.Release(ctx, app.Name, app.Live)
	if err != nil {
		return err
	}
	next.Status, next.User, next.Ref = hop3.ReleaseBuilding, who.Username, nil
	r, err := p.Store.NewRelease(ctx, next)
	if err != nil {
		return err
	}
	if err := p.Store.Commit(ctx, r.App, r.Number, switchEvents(ctx, old, r)...); err != nil {
		p.discard(ctx, r, err)
		return err
	}
	// Commit says running, as it does after a switch; nothing was switched.
	_, err = p.Store.UpdateApp(ctx, r.App, func(a *hop3.App) error {
		a.State, a.Error, a.Asleep = app.State, app.Error, app.Asleep
		return nil
	})
	return errors.Join(err,
		p.storeEnv(ctx, r.App, set, unset),
		p.rest(ctx, r, restingStatus(app)))
}

// applyEnv changes the variables of a release, and its hosts when they are
// among them.
func (p *Platform) applyEnv(r *hop3.Release, set hop3.Env, unset []string) {
	before := r.Env
	r.Env, r.Origins = changed(before, set, unset), maps.Clone(r.Origins)
	for key := range set {
		if r.Origins != nil {
			r.Origins[key] = hop3.OriginConfig
		}
	}
	if before[hop3.HostName] != r.Env[hop3.HostName] {
		r.Hosts = p.hostsOf(r.App, r.Env)
	}
	layers := layersOf(*r)
	layers.Variables, _ = hop3.HTTPVariables(r.Env)
	if err := setLayers(r, layers); err != nil { // the other layers were valid before
		p.Logger.Error("reading the variables of an HTTP policy", zap.String("app", r.App), zap.Error(err))
	}
}

// storeEnv changes the stored variables of the app.
func (p *Platform) storeEnv(ctx context.Context, app string, set hop3.Env, unset []string, events ...hop3.Event) error {
	if len(set)+len(unset) == 0 {
		return nil
	}
	_, err := p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		a.Env = changed(a.Env, set, unset)
		return nil
	}, events...)
	return err
}

func changed(env, set hop3.Env, unset []string) hop3.Env {
	out := env.Merge(set)
	for _, k := range unset {
		delete(out, k)
	}
	return out
}

// envChange compares what is stored with what is asked for.
func envChange(stored, set hop3.Env, unset []string) EnvChange {
	c := EnvChange{Old: hop3.Env{}}
	for _, k := range set.Keys() {
		old, has := stored[k]
		switch {
		case !has:
			c.Added = append(c.Added, k)
		case old != set[k]:
			c.Updated = append(c.Updated, k)
			c.Old[k] = old
		}
	}
	for _, k := range unset {
		if old, has := stored[k]; has {
			c.Removed = append(c.Removed, k)
			c.Old[k] = old
		}
	}
	return c
}

// checkEnv reports everything that is wrong with the variables at once.
func (p *Platform) checkEnv(vars hop3.Env) error {
	var problems []string
	for _, k := range vars.Keys() {
		if err := hop3.ValidateEnvKey(k); err != nil {
			problems = append(problems, hop3.MessageOf(err))
		} else if err := hop3.ValidateEnvValue(k, vars[k]); err != nil {
			problems = append(problems, hop3.MessageOf(err))
		}
	}
	hosts := hostList(vars[hop3.HostName])
	if err := p.checkHosts(hosts); err != nil {
		problems = append(problems, hop3.HostName+": "+hop3.MessageOf(err))
	}
	if len(problems) == 0 {
		return nil
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s", joinLines(problems))
}
