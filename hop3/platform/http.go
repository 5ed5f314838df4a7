package platform

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/idn"
	"github.com/abilian/hop3/hop3/manifest"
)

// HTTPStatus is what is done with an app's requests.
type HTTPStatus struct {
	Layers      hop3.HTTPLayers
	Maintenance *hop3.Maintenance
	// Notes say what of the app's variables has no effect.
	Notes []string
}

// HTTP returns what is done with the requests of an app: as its live release
// has it or, before the first, as it was set by command.
func (p *Platform) HTTP(ctx context.Context, who Actor, name string) (HTTPStatus, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return HTTPStatus{}, err
	}
	s := HTTPStatus{Layers: hop3.HTTPLayers{Set: app.HTTP}, Maintenance: app.Maintenance}
	vars := app.Env
	if app.Live != 0 {
		live, err := p.Store.Release(ctx, name, app.Live)
		if err != nil {
			return s, err
		}
		s.Layers, vars = live.HTTPLayers, live.Env
	}
	_, s.Notes = hop3.HTTPVariables(vars)
	return s, nil
}

// SetHTTP changes the settings of an app's HTTP policy, all or none of them. A
// running app has them at once, by a new release; they stay over deploys. It
// returns the number of that release, 0 when nothing runs or nothing changed.
func (p *Platform) SetHTTP(ctx context.Context, who Actor, name string, set hop3.HTTPSettings, unset []string, out hop3.Output) (release int, err error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return 0, err
	}
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return 0, err
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return 0, err
	}
	set = maps.Clone(set)
	for key, value := range set {
		if key == "canonical-host" {
			set[key] = idn.Normalize(value)
		}
	}
	if err := set.Validate(); err != nil {
		return 0, err
	}
	for _, key := range unset {
		if _, ok := app.HTTP[key]; !ok {
			return 0, hop3.Errorf(hop3.CodeNotFound, "'%s' is not set on '%s' by command.", key, name).
				WithHint("`hop3 http show --app %s` says where each setting comes from.", name)
		}
	}
	next := maps.Clone(app.HTTP)
	if next == nil {
		next = hop3.HTTPSettings{}
	}
	maps.Copy(next, set)
	maps.DeleteFunc(next, func(key, _ string) bool { return slices.Contains(unset, key) })
	if maps.Equal(next, app.HTTP) {
		return 0, nil
	}
	if err := p.checkRoutes(ctx, who, name, next); err != nil {
		return 0, err
	}
	return p.changeHTTP(ctx, who, app, next, out)
}

// changeHTTP makes settings those of the app and of a new release. The app is
// locked by the caller.
func (p *Platform) changeHTTP(ctx context.Context, who Actor, app hop3.App, set hop3.HTTPSettings, out hop3.Output) (int, error) {
	store := func(ctx context.Context, events ...hop3.Event) error {
		_, err := p.Store.UpdateApp(ctx, app.Name, func(a *hop3.App) error {
			a.HTTP = set
			return nil
		}, events...)
		return err
	}
	if app.Live == 0 {
		return 0, store(ctx, configChanged(asked(ctx, who), app.Name, differences(hop3.Release{HTTPLayers: hop3.HTTPLayers{Set: app.HTTP}}, hop3.Release{HTTPLayers: hop3.HTTPLayers{Set: set}})))
	}
	live, err := p.Store.Release(ctx, app.Name, app.Live)
	if err != nil {
		return 0, err
	}
	layers := layersOf(live)
	layers.Set = set
	probe := live
	if err := setLayers(&probe, layers); err != nil {
		return 0, err
	}
	apply := func(r *hop3.Release) {
		r.HTTP, r.HTTPLayers, r.AllowHTTP = probe.HTTP, probe.HTTPLayers, probe.AllowHTTP
	}
	resting, err := p.whileResting(ctx, app.Name, func(app hop3.App) error {
		next := live
		next.Kind = hop3.ReleaseHTTP
		apply(&next)
		return errors.Join(p.changeStopped(ctx, who, app, next, nil, nil), store(ctx))
	})
	if resting || err != nil {
		return 0, err
	}
	r, err := p.rereleaseLocked(ctx, who, app, live, hop3.ReleaseHTTP, apply, out)
	if err != nil {
		return 0, err
	}
	return r.Number, store(context.WithoutCancel(ctx))
}

// setLayers gives a release, not stored yet, the policy of layers. A
// CodeInvalid error changes nothing.
func setLayers(r *hop3.Release, layers hop3.HTTPLayers) error {
	policy, err := layers.Policy()
	if err != nil {
		return err
	}
	r.HTTP, r.HTTPLayers, r.AllowHTTP = policy, layers, policy != nil && policy.AllowHTTP != nil && *policy.AllowHTTP
	return nil
}

// layersOf returns the settings that a release's policy was made of, also of
// one from before they were kept.
func layersOf(r hop3.Release) hop3.HTTPLayers {
	if r.HTTPLayers.IsZero() && r.AllowHTTP {
		return hop3.HTTPLayers{Defaults: hop3.HTTPSettings{"allow-http": "true"}}
	}
	return r.HTTPLayers
}

// deployLayers returns the settings of a deploy.
func deployLayers(app hop3.App, m *manifest.Manifest, vars hop3.Env) (layers hop3.HTTPLayers, notes []string) {
	layers.Declared, layers.Set = m.HTTP, app.HTTP
	if m.AllowHTTP {
		layers.Defaults = hop3.HTTPSettings{"allow-http": "true"}
	}
	layers.Variables, notes = hop3.HTTPVariables(vars)
	return layers, notes
}

// tellHTTP says what of an app's policy is not as its developer may think.
func (p *Platform) tellHTTP(ctx context.Context, out hop3.Output, r hop3.Release, notes []string) {
	for _, note := range notes {
		tell(out, 1, "yellow", "       Warning: %s", note)
	}
	if r.HTTP == nil {
		return
	}
	if host := r.HTTP.CanonicalHost; host != "" && !slices.Contains(r.Hosts, host) {
		tell(out, 1, "yellow", "       Warning: nothing is redirected to %s, which is not one of the app's hosts", host)
	}
	if len(r.HTTP.Protect) > 0 && len(r.HTTP.BasicAuth)+len(r.HTTP.Allow) == 0 {
		tell(out, 1, "yellow", "       Warning: protect protects nothing: there is neither basic-auth nor allow")
	}
	for _, route := range r.HTTP.Routes {
		if _, err := p.Store.App(ctx, route.App); err != nil {
			tell(out, 1, "yellow", "       Warning: %s is routed to the app '%s', which is not there", route.Prefix, route.App)
		}
	}
}

// HashPassword returns the hash of a visitor's password.
func (p *Platform) HashPassword(password string) (string, error) {
	return p.Auth.HashPassword(password)
}

// checkRoutes refuses routes to apps that are not there, or to the app itself.
func (p *Platform) checkRoutes(ctx context.Context, who Actor, name string, settings hop3.HTTPSettings) error {
	policy, err := settings.Policy()
	if err != nil || policy == nil {
		return err
	}
	for _, route := range policy.Routes {
		if route.App == name {
			return hop3.Errorf(hop3.CodeInvalid, "the path %s of '%s' cannot be routed to '%s' itself", route.Prefix, name, name)
		}
		if err := p.may(ctx, who, route.App, hop3.RoleViewer); err != nil {
			return err
		}
	}
	return nil
}

// checkDeclaredRoutes refuses the routes of a manifest that the live release does
// not have, and that lead to apps which who deploys may not see: behind the
// routes, their visitors would be theirs. A webhook sees no other app.
func (p *Platform) checkDeclaredRoutes(ctx context.Context, who Actor, app hop3.App, declared hop3.HTTPSettings) error {
	policy, err := declared.Policy()
	if err != nil || policy == nil || len(policy.Routes) == 0 {
		return err
	}
	var had []hop3.HTTPRoute
	if app.Live != 0 {
		live, err := p.Store.Release(ctx, app.Name, app.Live)
		if err != nil {
			return err
		}
		if live.HTTP != nil {
			had = live.HTTP.Routes
		}
	}
	var refused []error
	for _, route := range policy.Routes {
		switch err := p.may(ctx, who, route.App, hop3.RoleViewer); {
		case route.App == app.Name:
			refused = append(refused, hop3.Errorf(hop3.CodeInvalid, "the path %s of '%s' cannot be routed to '%s' itself", route.Prefix, app.Name, app.Name))
		case err == nil, slices.ContainsFunc(had, func(h hop3.HTTPRoute) bool { return h.Prefix == route.Prefix && h.App == route.App }):
		case hop3.CodeOf(err) != hop3.CodeNotFound:
			return err
		default:
			refused = append(refused, hop3.Errorf(hop3.CodeNotFound, "The path %s is to be routed to the app '%s', which is not there, or not for %s to see.", route.Prefix, route.App, cmp.Or(who.Username, "you")).
				WithHint("Deploy that app first, or ask who may use it: `hop3 app grant --app %s`.", route.App))
		}
	}
	return errors.Join(refused...)
}

// SetMaintenance closes an app to visitors, or opens it with nil. It is the
// app's, not a release's: deploys go on behind it, and it starts nothing.
func (p *Platform) SetMaintenance(ctx context.Context, who Actor, name string, m *hop3.Maintenance) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	if m != nil {
		if err := m.Validate(); err != nil {
			return err
		}
	}
	unlock, err := p.lockRunning(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	app, err := p.Store.UpdateApp(ctx, name, func(a *hop3.App) error {
		a.Maintenance = m
		return nil
	}, configChanged(ctx, name, []hop3.Difference{{Property: "Maintenance", New: map[bool]string{true: "on", false: "off"}[m != nil]}}))
	if err != nil {
		return err
	}
	p.running.maintain(name, m)
	if app.Live == 0 {
		return nil
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return err
	}
	if p.running.is(live) {
		return p.reroute(ctx, live)
	}
	return p.Proxy.Set(ctx, p.stoppedRoute(live, restingStatus(app)))
}

// policy returns what the proxy is to do with the requests for a release.
func (p *Platform) policy(r hop3.Release) *hop3.HTTPPolicy {
	m := p.running.maintenanceOf(r.App)
	if r.HTTP == nil && m == nil && r.WAF == nil {
		return nil
	}
	var policy hop3.HTTPPolicy
	if r.HTTP != nil {
		policy = *r.HTTP
	}
	policy.WAF = r.WAF
	policy.AllowHTTP, policy.Maintenance = nil, m // the route has a word of its own for the first
	if policy.IsZero() {
		return nil
	}
	return &policy
}

// maintain remembers that an app is closed to visitors, or with nil that it is
// open.
func (s *running) maintain(app string, m *hop3.Maintenance) {
	if m == nil {
		s.closed.Delete(app)
		return
	}
	s.closed.Store(app, m)
}

func (s *running) maintenanceOf(app string) *hop3.Maintenance {
	m, _ := s.closed.Load(app)
	closed, _ := m.(*hop3.Maintenance)
	return closed
}
