package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// activation is a release that has just begun to serve, while the one before
// it still runs: finish ends the old one, revert goes back to it.
type activation struct {
	p       *Platform
	release hop3.Release
	old     hop3.Release // Number 0: there was none
	held    bool         // it does not serve: see rehearse
	by      Actor
}

// activate makes a release the one that serves: start beside, wait until
// ready, commit, switch. Until the commit an error leaves everything as it
// was; what was started is stopped. The app is locked by the caller.
func (p *Platform) activate(ctx context.Context, r hop3.Release, out hop3.Output) (*activation, error) {
	unlock, err := p.lockRunning(ctx, r.App)
	if err != nil {
		return nil, err
	}
	defer func() { unlock() }()
	app, err := p.Store.App(ctx, r.App)
	if err != nil {
		return nil, err
	}
	a := &activation{p: p, release: r, by: askedBy(ctx)}
	if app.Live != 0 {
		if a.old, err = p.Store.Release(ctx, r.App, app.Live); err != nil {
			return nil, fmt.Errorf("reading the live release: %w", err)
		}
	}
	if err := p.checkFirewall(ctx, r.WAF); err != nil { // of a rollback too
		return nil, err
	}
	if r, err = p.refreshAddons(ctx, r); err != nil {
		return nil, err
	}
	a.release = r
	if err := p.claimPorts(ctx, app, r.Ports); err != nil {
		return nil, err
	}
	instead := exclusive(a.old, r) && app.State != hop3.StateStopped && !app.Asleep
	if instead {
		if err := p.makeWay(ctx, app, a.old, out); err != nil {
			return nil, err
		}
	}
	instances, err := p.startReady(ctx, r, out)
	if err == nil && p.triesOut(app, a.old, r, instances, out) {
		// What runs of the app may change meanwhile; which release does, not.
		unlock()
		err = p.tryOut(ctx, a.old, r, instances, out)
		var lockErr error
		if unlock, lockErr = p.lockRunning(context.WithoutCancel(ctx), r.App); lockErr != nil {
			unlock = func() {}
			err = errors.Join(err, lockErr)
		}
		if err == nil {
			defer p.endCanary(a.old) // once the route is the new release's
		} else {
			p.endCanary(a.old)
			p.drainCanary(r)
		}
	}
	if err == nil {
		err = ctx.Err() // a client that left in the last moment
	}
	if err == nil {
		// From here on the switch is not interrupted.
		ctx = context.WithoutCancel(ctx)
		err = p.Store.Commit(ctx, r.App, r.Number, switchEvents(ctx, a.old, r)...)
	}
	if err != nil {
		p.stopQuietly(r)
		if instead {
			err = errors.Join(err, p.comeBack(ctx, app, a.old))
		}
		return nil, err
	}
	handover := p.watch(a.old)
	switching := time.Now()
	if err := p.serve(ctx, r, instances, true); err != nil {
		a.revertLocked(err)
		return nil, fmt.Errorf("switching the route: %w", err)
	}
	switched := took(switching)
	if err := p.Files.Link(p.releaseDir(r.App, r.Build), p.srcLink(r.App)); err != nil {
		p.Logger.Warn("linking src", zap.String("app", r.App), zap.Error(err))
	}
	say(out, "-----> Release v%d of '%s' is live, after %s", r.Number, r.App, took(r.CreatedAt))
	for _, url := range p.urls(r.Hosts) {
		say(out, "       %s", ShownURL(url))
	}
	tellPorts(out, r.Ports)
	p.tellStatic(out, r)
	p.tellHandover(out, a.old, switched, handover)
	if !slices.Equal(a.old.Hosts, r.Hosts) {
		p.wantCertificates(r.Hosts)
	}
	return a, nil
}

// startReady starts a release's instances and waits until they are ready.
func (p *Platform) startReady(ctx context.Context, r hop3.Release, out hop3.Output) ([]hop3.Instance, error) {
	say(out, "-----> Starting release v%d", r.Number)
	l := p.launch(r)
	if err := checkCron(r.Cron, r.Env); err != nil {
		return nil, err
	}
	if len(l.Processes) == 0 {
		if p.staticRoot(r) == "" && len(staticOf(r)) == 0 && len(r.Cron) == 0 {
			tell(out, 1, "yellow", "       Warning: '%s' has nothing to run and nothing to serve", r.App)
		}
		return nil, nil
	}
	if err := p.verify(ctx, r.Artifact); err != nil {
		return nil, err
	}
	started := time.Now()
	if _, err := p.Runtime.Start(ctx, l); err != nil {
		return nil, fmt.Errorf("starting v%d: %w", r.Number, err)
	}
	all := func(hop3.Instance) bool { return true }
	if err := p.waitReady(ctx, r, out, all); err != nil {
		return nil, err
	}
	say(out, "-----> Ready in %s", took(started))
	return p.Runtime.Instances(ctx, r.ID())
}

// waitReady waits until the chosen instances of a release are ready.
func (p *Platform) waitReady(ctx context.Context, r hop3.Release, out hop3.Output, chosen func(hop3.Instance) bool) error {
	list := func(ctx context.Context) ([]hop3.Instance, error) {
		instances, err := p.Runtime.Instances(ctx, r.ID())
		return slices.DeleteFunc(instances, func(i hop3.Instance) bool { return !chosen(i) }), err
	}
	err := p.Prober.Wait(ctx, hop3.Readiness{Health: r.Health, Host: checkHost(r), Timeout: p.startTimeout(r), Instances: list, Out: out})
	if err != nil && ctx.Err() != nil {
		return canceled(ctx)
	}
	return err
}

// checkHost is the Host header of the questions whether an instance is well.
func checkHost(r hop3.Release) string {
	if len(r.Hosts) > 0 {
		return r.Hosts[0]
	}
	return "localhost"
}

// finish confirms the switch and ends the old release once its requests are
// done. It does not wait for that.
func (a *activation) finish() {
	p, ctx := a.p, As(context.Background(), a.by)
	if a.release.Ref != nil {
		_, err := p.Store.UpdateRelease(ctx, a.release.App, a.release.Number, func(r *hop3.Release) error {
			r.Ref = nil
			return nil
		}, a.confirmed(ctx)...)
		if err != nil {
			p.unsettled.note(a.release.App)
			p.Logger.Error("confirming a release", zap.String("app", a.release.App), zap.Error(err))
		}
	}
	if a.old.Number != 0 {
		p.drainAndStop(a.old) // which prunes: what runs is kept
		return
	}
	p.Go("prune", func(ctx context.Context) { p.prune(ctx, a.release.App) })
}

// revert makes the old release the live one again; the new one is stopped and
// counts as failed because of why.
func (a *activation) revert(why error) {
	unlock, err := a.p.lockRunning(context.Background(), a.release.App)
	if err == nil {
		defer unlock()
	}
	a.revertLocked(why)
}

func (a *activation) revertLocked(why error) {
	p, ctx := a.p, As(context.Background(), a.by)
	if a.held {
		p.discard(ctx, a.release, why)
		return
	}
	if exclusive(a.old, a.release) {
		p.stopQuietly(a.release)
	}
	err := p.backTo(ctx, a.release, a.old, why)
	if err != nil {
		p.unsettled.note(a.release.App)
		p.Logger.Error("reverting a release", zap.String("app", a.release.App), zap.Int("release", a.release.Number), zap.Error(err))
	}
	p.drainAndStop(a.release)
}

// backTo makes old, which still runs or is started again, the live release in
// place of bad. With no old one the app is stopped.
func (p *Platform) backTo(ctx context.Context, bad, old hop3.Release, why error) error {
	var err error
	if old.Number != 0 {
		err = p.Store.Commit(ctx, old.App, old.Number, revertedEvent(ctx, bad, old, why))
	} else {
		_, err = p.Store.UpdateApp(ctx, bad.App, func(app *hop3.App) error {
			app.Live = 0
			app.SetState(hop3.StateStopped, "")
			return nil
		}, revertedEvent(ctx, bad, old, why))
		err = errors.Join(err, p.Store.ClaimPorts(ctx, bad.App, nil))
	}
	if err == nil {
		_, err = p.Store.UpdateRelease(ctx, bad.App, bad.Number, func(r *hop3.Release) error {
			r.Status, r.Error, r.Ref = hop3.ReleaseFailed, hop3.MessageOf(why), nil
			return nil
		}, failedEvent(ctx, bad, why))
	}
	// Also when the database could not be told: it is, by settleRef, when it
	// can be. Until then nobody gets what was taken back.
	if old.Number == 0 {
		return errors.Join(err, p.rest(ctx, bad, hop3.RouteStopped))
	}
	instances, startErr := p.Runtime.Start(ctx, p.launch(old))
	return errors.Join(err, startErr,
		p.serve(ctx, old, instances, false),
		p.Files.Link(p.releaseDir(old.App, old.Build), p.srcLink(old.App)))
}

// drainAndStop stops a release that is not routed to any more, once its
// requests have ended or the drain's time is up, and removes what no release
// needs then. It returns at once.
func (p *Platform) drainAndStop(r hop3.Release) {
	done := p.running.drains(r.ID())
	started := p.Go("drain", func(ctx context.Context) {
		defer done()
		drain, cancel := context.WithTimeout(ctx, p.Settings.DrainTimeout)
		defer cancel()
		started := time.Now()
		err := p.Proxy.Drain(drain, r.ID())
		if ctx.Err() != nil {
			return // the next start stops it
		}
		p.Logger.Info("drained", zap.String("app", r.App), zap.Int("release", r.Number), zap.Duration("took", time.Since(started)), zap.Error(err))
		p.stopQuietly(r)
		p.prune(ctx, r.App)
	})
	if !started {
		done()
	}
}

func (p *Platform) stopQuietly(r hop3.Release) {
	if err := p.Runtime.Stop(context.Background(), r.ID(), p.Settings.StopGrace); err != nil {
		p.Logger.Error("stopping a release", zap.String("app", r.App), zap.Int("release", r.Number), zap.Error(err))
	}
}

// launch is a release as the runtime sees it.
func (p *Platform) launch(r hop3.Release) hop3.Launch {
	dir := p.releaseDir(r.App, r.Build)
	vars := r.Env.Merge(r.Artifact.Env, hop3.Env{
		"APP":          r.App,
		"HOME":         p.dataDir(r.App),
		"PWD":          dir,
		"BIND_ADDRESS": "127.0.0.1",
		"RELEASE":      "v" + strconv.Itoa(r.Number),
	}, portVariables(r.Ports))
	delete(vars, publicURL)
	maps.Copy(vars, p.serverEnv(r.Hosts, r.AllowHTTP))
	l := hop3.Launch{
		ID: r.ID(), Dir: dir, Env: vars, Path: r.Artifact.PathPrepend, LogDir: p.logDir(r.App),
		Limits: r.Limits, AppDir: p.appDir(r.App),
		Writable: []string{p.dataDir(r.App), p.volumesDir(r.App)},
		Volumes:  mounted(r.Volumes),
	}
	if r.Artifact.Container != nil {
		p.contain(&l, r)
	}
	for _, proc := range r.Processes {
		proc.Count = p.count(r, proc)
		if proc.Type != hop3.ProcessStatic && proc.Type != hop3.ProcessCron && proc.Count > 0 {
			l.Processes = append(l.Processes, proc)
		}
		// PHP's own server answers one request at a time unless told.
		if _, set := vars[phpWorkers]; !set && (strings.Contains(proc.Command, "php -S") || strings.Contains(proc.Command, "artisan serve")) {
			vars[phpWorkers] = "8"
		}
	}
	return l
}

const phpWorkers = "PHP_CLI_SERVER_WORKERS"

// route is where a release's requests go.
func (p *Platform) route(r hop3.Release, instances []hop3.Instance) hop3.Route {
	route := hop3.Route{App: r.App, Release: r.Number, Hosts: r.Hosts, StaticRoot: p.staticRoot(r), Static: p.staticPaths(r), AllowHTTP: r.AllowHTTP, Policy: p.policy(r), Dir: p.releaseDir(r.App, r.Build)}
	route.Upstreams, route.Names = upstreamsOf(instances), namesOf(instances)
	if c := p.running.canaryOf(r.App); c != nil && c.Release != r.Number {
		if route.Canary = c; route.Policy == nil {
			route.Policy = &hop3.HTTPPolicy{}
		}
	}
	return route
}

func upstreamsOf(instances []hop3.Instance) (upstreams []string) {
	for _, i := range instances {
		if i.Upstream != "" {
			upstreams = append(upstreams, i.Upstream)
		}
	}
	return upstreams
}

// namesOf returns the names of those that upstreamsOf returns.
func namesOf(instances []hop3.Instance) (names []string) {
	for _, i := range instances {
		if i.Upstream != "" {
			names = append(names, instanceName(i))
		}
	}
	return names
}

// stoppedRoute keeps the hosts of an app whose release does not run, with the
// reason visitors are told. It is no release's, so that the release can drain.
func (p *Platform) stoppedRoute(r hop3.Release, status string) hop3.Route {
	return hop3.Route{App: r.App, Hosts: r.Hosts, Status: status, AllowHTTP: r.AllowHTTP, Policy: p.policy(r), Dir: p.releaseDir(r.App, r.Build)}
}
