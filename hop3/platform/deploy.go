package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/env"
	"github.com/abilian/hop3/hop3/manifest"
)

// DeployRequest asks for a deploy.
type DeployRequest struct {
	App    string
	Kind   hop3.ReleaseKind
	Source Source
	Env    hop3.Env // set before the build, over what is stored
	Ref    *hop3.RefMove
	// NoSwitch ends the deploy before the switch: the new release is started,
	// found ready and stopped, and the old one serves on. See Switch.
	NoSwitch bool
	// Canary has this one release tried out, whatever the app's settings say:
	// see CanaryFlag. nil for as they say.
	Canary *hop3.Canary
	Out    hop3.Output

	// unstarted is NoSwitch for a release that cannot be started yet.
	unstarted bool
}

// Deploy builds and activates req.Source, creating the app when there is none.
// When it fails the old release serves on and never noticed.
func (p *Platform) Deploy(ctx context.Context, who Actor, req DeployRequest) (hop3.Release, error) {
	created, err := p.ensureApp(ctx, who, req.App, req.Out)
	if err != nil {
		return hop3.Release{}, err
	}
	unlock, err := p.lockForDeploy(ctx, req.App, req.Out)
	if err != nil {
		return hop3.Release{}, err
	}
	defer unlock()
	a, err := p.deploy(ctx, who, req)
	if err == nil {
		a.finish()
		return a.release, nil
	}
	if created {
		unlock() // undoing takes the lock itself
		if undoErr := p.undoCreated(context.WithoutCancel(ctx), req.App); undoErr != nil {
			p.Logger.Warn("undoing a deploy of nothing", zap.String("app", req.App), zap.Error(undoErr))
		}
		p.unprovision(context.WithoutCancel(ctx), req.App)
	}
	return hop3.Release{}, err
}

// deploy is a deploy from the source to the switch. The app is locked by the
// caller, who finishes or reverts what it returns.
func (p *Platform) deploy(ctx context.Context, who Actor, req DeployRequest) (_ *activation, err error) {
	ctx = asked(ctx, who)
	var release hop3.Release
	defer func() { p.noteRefused(ctx, req, release, err) }()
	ctx, change, end := p.cancelable(ctx, req.App)
	defer func() {
		p.deploys.count(err)
		end(err)
	}()
	if err := p.checkDisk(ctx, req.App, req.App, req.Out); err != nil {
		return nil, err
	}
	if err := p.checkEnv(req.Env); err != nil {
		return nil, err
	}
	m, err := p.manifestOf(ctx, req)
	if err != nil {
		return nil, err
	}
	if release, err = p.newRelease(ctx, who, req); err != nil {
		return nil, err
	}
	p.numbered(change, release.Number)
	out, endLog := p.record(release, req.Out)
	req.Out = out
	accepted := false // the source
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = canceled(ctx)
		}
		if err != nil && accepted {
			p.discard(ctx, release, err)
		}
		endLog(err)
		if err != nil && !accepted {
			p.forget(ctx, release, err)
		}
	}()

	dir := p.releaseDir(req.App, release.Number)
	for _, d := range []string{dir, p.dataDir(req.App)} {
		if err := p.Files.MakeDir(d); err != nil {
			return nil, fmt.Errorf("making the release's directories: %w", err)
		}
	}
	if err := req.Source.CheckOut(ctx, dir); err != nil {
		return nil, err
	}
	if m == nil {
		if m, err = p.manifestIn(dir); err != nil {
			return nil, err
		}
	}
	if m.Volumes, err = p.settleVolumes(dir, m.Volumes); err != nil {
		return nil, err
	}
	accepted = true
	tellManifest(req.Out, m)
	app, err := p.Store.App(ctx, req.App)
	if err != nil {
		return nil, err
	}
	if app, err = p.asPreview(ctx, app, m); err != nil {
		return nil, err
	}
	if app, err = p.makeAccounts(ctx, app, m); err != nil {
		return nil, err
	}
	if err := p.provision(ctx, who, app, m.Addons, req.Out); err != nil {
		return nil, err
	}
	resolved, err := p.resolveEnv(ctx, app, m, req.Env)
	if err != nil {
		return nil, err
	}
	release.Env = resolved.Env // no error tells a secret of them
	tellEnv(req.Out, resolved)
	if err := checkCron(m.Cron, resolved.Env); err != nil {
		return nil, err
	}
	hosts := p.hostsOf(app.Name, resolved.Env)
	if err := errors.Join(p.checkHosts(hosts), p.checkClaims(ctx, app.Name, hosts)); err != nil {
		return nil, err
	}
	limits, err := p.limits(m.Limits, req.Out)
	if err != nil {
		return nil, err
	}
	if err := p.countInstances(app.Name, m); err != nil {
		return nil, err
	}

	layers, notes := deployLayers(app, m, resolved.Env)
	if _, err := layers.Policy(); err != nil {
		return nil, err
	}
	if err := p.checkDeclaredRoutes(ctx, who, app, m.HTTP); err != nil {
		return nil, err
	}
	if err := p.checkFirewall(ctx, m.WAF); err != nil {
		return nil, err
	}
	if err := p.claimPorts(ctx, app, m.Ports); err != nil {
		return nil, err
	}
	artifact, err := p.build(ctx, release, m, resolved.Env, req.Out)
	if err != nil {
		return nil, err
	}
	if artifact.Container != nil {
		artifact.Container.Volumes = m.Volumes
	}
	if err := p.attachVolumes(release, artifact, m.Volumes, req.Out); err != nil {
		return nil, err
	}
	complete, err := p.Store.UpdateRelease(ctx, req.App, release.Number, func(r *hop3.Release) error {
		r.Artifact = artifact
		r.Processes = processes(m, artifact, app.Scale)
		r.Health = m.Health
		r.Cron = m.Cron
		r.StartTimeout = m.StartTimeout
		r.Hosts = hosts
		r.Env, r.Origins = resolved.Env, resolved.Origins
		r.Limits, r.Scaling, r.WAF = limits, m.Scaling, m.WAF
		r.Volumes, r.Ports, r.Static, r.Keep, r.Backup = m.Volumes, m.Ports, m.Static, m.Keep, m.Backup
		return errors.Join(setLayers(r, layers), tryOnce(r, req.Canary))
	})
	if err != nil {
		return nil, err
	}
	release = complete
	p.tellHTTP(ctx, req.Out, release, notes)
	tellFirewall(req.Out, release.WAF)
	// What runs before the start may already use a generated secret for good,
	// as for a database's password: it must not change when the deploy fails.
	if err := p.storeEnv(ctx, req.App, only(resolved.Store, m.Env.Generated), nil); err != nil {
		return nil, err
	}
	if err := p.beforeRun(ctx, release, m, req.Out); err != nil {
		return nil, err
	}
	if req.unstarted {
		return p.setAside(ctx, release)
	}
	if req.NoSwitch {
		return p.rehearse(ctx, release, req.Out)
	}
	a, err := p.activate(ctx, release, req.Out)
	if err != nil {
		return nil, err
	}
	p.tellCron(req.Out, a.release)
	if err := p.storeEnv(context.WithoutCancel(ctx), req.App, resolved.Store, nil); err != nil {
		// The release has its own copy; only the next one would miss them.
		p.Logger.Error("storing the variables of a deploy", zap.String("app", req.App), zap.Error(err))
	}
	if app.Live == 0 {
		p.postDeploy(ctx, a.release, m, req.Out)
	}
	p.welcome(ctx, a.release, m, req.Out)
	return a, nil
}

// tellEnv says what the manifest's variables came to.
func tellEnv(out hop3.Output, r env.Resolved) {
	if r.Changed > 0 {
		tell(out, 1, "green", "       Setting %d variables that the manifest declares", r.Changed)
	}
	if len(r.Kept) > 0 {
		tell(out, 1, "yellow", "       Keeping the set values of %s", strings.Join(r.Kept, ", "))
	}
	for _, key := range r.Unresolved {
		tell(out, 1, "yellow", "       Warning: the computed variable %s mentions a variable that is not set", key)
	}
	for _, key := range r.Display {
		tellOnce(out, "green", "       Generated %s=%s (shown once)", key, r.Env[key])
	}
}

// only returns the variables that keys names.
func only[V any](vars hop3.Env, keys map[string]V) hop3.Env {
	out := hop3.Env{}
	for k, v := range vars {
		if _, ok := keys[k]; ok {
			out[k] = v
		}
	}
	return out
}

// newRelease stores a release of status building for the request.
func (p *Platform) newRelease(ctx context.Context, who Actor, req DeployRequest) (hop3.Release, error) {
	r, err := req.Source.Describe(ctx)
	if err != nil {
		return r, err
	}
	r.App, r.Kind, r.Status, r.User, r.Ref = req.App, req.Kind, hop3.ReleaseBuilding, who.Username, req.Ref
	r, err = p.Store.NewRelease(ctx, r)
	if err != nil {
		return r, fmt.Errorf("storing the new release: %w", err)
	}
	numbered, err := p.Store.UpdateRelease(ctx, r.App, r.Number, func(r *hop3.Release) error {
		r.Build = r.Number
		return nil
	}, releaseEvent(ctx, hop3.EventDeployStarted, r, "building v%d: %s", r.Number, whatIsBuilt(r)))
	if err != nil {
		p.discard(ctx, r, err)
	}
	return numbered, err
}

// manifestOf reads what a source declares before anything is made for it, nil
// when only its checkout can tell.
func (p *Platform) manifestOf(ctx context.Context, req DeployRequest) (*manifest.Manifest, error) {
	fsys, err := req.Source.Open(ctx)
	if err != nil || fsys == nil {
		return nil, err
	}
	return manifest.Load(fsys)
}

// manifestIn reads what a checkout declares.
func (p *Platform) manifestIn(dir string) (*manifest.Manifest, error) {
	fsys, err := p.Files.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the release's directory: %w", err)
	}
	return manifest.Load(fsys)
}

// tellManifest says what of a manifest is not as its author may think.
func tellManifest(out hop3.Output, m *manifest.Manifest) {
	for _, w := range m.Warnings {
		tell(out, 1, "yellow", "       Warning: %s", w)
	}
	for _, u := range m.Unsupported {
		tell(out, 1, "yellow", "       Warning: [%s] of hop3.toml has no effect on this server yet: %s", u.Section, u.Reason)
	}
}

// build waits for a build slot and runs the first builder that accepts.
func (p *Platform) build(ctx context.Context, r hop3.Release, m *manifest.Manifest, vars hop3.Env, out hop3.Output) (hop3.Artifact, error) {
	if err := p.Files.MakeDir(p.logDir(r.App)); err != nil {
		return hop3.Artifact{}, fmt.Errorf("making the log directory: %w", err)
	}
	options := m.Build
	options.Processes = m.Processes
	options.Strict = options.Strict || p.Settings.StrictBuilds
	req := hop3.BuildRequest{
		App:      r.App,
		Build:    r.Number,
		Source:   p.releaseDir(r.App, r.Number),
		AppDir:   p.appDir(r.App),
		CacheDir: p.cacheDir(r.App),
		LogFile:  p.buildLog(r.App),
		Env:      vars,
		Options:  options,
		Before:   m.BeforeBuild,
		After:    m.AfterBuild,
		Out:      out,
	}
	builder, err := p.builder(ctx, m.Builder, req)
	if err != nil {
		return hop3.Artifact{}, err
	}
	if err := checkDeployer(m.Deployer, builder.Name()); err != nil {
		return hop3.Artifact{}, err
	}
	release, err := p.buildSlot(ctx, out)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer release()
	if limit := p.Settings.BuildTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, hop3.Errorf(hop3.CodeDeploy, "the build took longer than %s", limit))
		defer cancel()
	}
	started := time.Now()
	artifact, err := builder.Build(ctx, req)
	if why := context.Cause(ctx); err != nil && hop3.CodeOf(why) == hop3.CodeDeploy {
		err = why
	}
	if err == nil {
		say(out, "-----> Built in %s", took(started))
	}
	return artifact, err
}

// took is the time since started, as people like to read it.
func took(started time.Time) string {
	d := time.Since(started)
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// builder returns the named builder, or the first that accepts the source.
func (p *Platform) builder(ctx context.Context, name string, req hop3.BuildRequest) (hop3.Builder, error) {
	var names, reasons []string
	for _, b := range p.Builders() {
		names = append(names, b.Name())
		if name != "" && name != "auto" {
			if b.Name() == name {
				return b, nil
			}
			continue
		}
		reason, ok := b.Accept(ctx, req)
		if ok {
			return b, nil
		}
		reasons = append(reasons, b.Name()+": "+reason)
	}
	if name != "" && name != "auto" {
		return nil, noBuilder(name, names)
	}
	return nil, hop3.Errorf(hop3.CodeDeploy, "no builder accepts the source").WithHint("%s", joinLines(reasons))
}

func noBuilder(name string, names []string) error {
	return hop3.Errorf(hop3.CodeDeploy, "hop3.toml asks for the builder '%s', which this server does not have", name).
		WithHint("It has: %s.", strings.Join(names, ", "))
}

// beforeRun runs the commands that must succeed once before the release's
// processes start: migrations and the like.
func (p *Platform) beforeRun(ctx context.Context, r hop3.Release, m *manifest.Manifest, out hop3.Output) error {
	for _, command := range append(append([]string{}, m.BeforeRun...), m.Release...) {
		if err := p.runOnce(ctx, r, command, "before the start", out); err != nil {
			return err
		}
	}
	return nil
}

// postDeploy runs the commands that follow the first deploy of an app that
// succeeded. The app serves already: what fails is told, and undoes nothing.
func (p *Platform) postDeploy(ctx context.Context, r hop3.Release, m *manifest.Manifest, out hop3.Output) {
	for _, command := range m.PostDeploy {
		if err := p.runOnce(ctx, r, command, "after the first deploy", out); err != nil {
			tell(out, 0, "yellow", "       Warning: %s. It is not run again: `hop3 app run --app %s -- …` does.", hop3.MessageOf(err), r.App)
		}
	}
}

// runOnce runs one of the developer's commands in the release's environment.
func (p *Platform) runOnce(ctx context.Context, r hop3.Release, command, when string, out hop3.Output) error {
	const limit = 5 * time.Minute
	say(out, "-----> Running %s", command)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("longer than %s", limit))
	defer cancel()
	w := &lineWriter{line: func(s string) { say(out, "       %s", s) }}
	exit, err := p.Runtime.Run(ctx, p.launch(r), hop3.OneOff{Shell: command, Stdout: w, Stderr: w})
	w.flush()
	switch {
	case ctx.Err() != nil:
		return hop3.Errorf(hop3.CodeDeploy, "the command `%s` %s was ended: %w", command, when, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("running %q %s: %w", command, when, err)
	case exit != 0:
		return hop3.Errorf(hop3.CodeDeploy, "the command `%s` %s ended with exit status %d", command, when, exit)
	}
	return nil
}

// discard ends a release that will never serve: what was made for it goes,
// its row stays and says why.
func (p *Platform) discard(ctx context.Context, r hop3.Release, why error) {
	ctx = context.WithoutCancel(ctx) // it must happen even when the deploy's context has ended
	var err error
	if r.Build == r.Number {
		// First, because the database may need the room.
		err = p.Files.Remove(p.releaseDir(r.App, r.Number))
	}
	message := concealed(r.Env, hop3.MessageOf(why))
	_, updateErr := p.Store.UpdateRelease(ctx, r.App, r.Number, func(r *hop3.Release) error {
		r.Status, r.Error, r.Ref = hop3.ReleaseFailed, message, nil
		if r.Took == 0 {
			r.Took = time.Since(r.CreatedAt)
		}
		return nil
	}, failedEvent(ctx, r, why))
	if err = errors.Join(err, updateErr, p.keepPorts(ctx, r.App)); err != nil {
		p.unsettled.note(r.App) // settling it discards again
		p.Logger.Error("discarding a release", zap.String("app", r.App), zap.Int("release", r.Number), zap.Error(err))
	}
	if err == nil && r.Build == r.Number {
		p.Go("prune", func(ctx context.Context) { p.prune(ctx, r.App) }) // what a builder keeps elsewhere
	}
	p.Logger.Info("deploy failed", zap.String("app", r.App), zap.Int("release", r.Number), zap.NamedError("reason", why))
}

// forget ends a release whose source was refused: of it there is nothing.
func (p *Platform) forget(ctx context.Context, r hop3.Release, why error) {
	ctx = context.WithoutCancel(ctx) // also when the deploy's context has ended
	err := errors.Join(
		p.Files.Remove(p.releaseDir(r.App, r.Number)),
		p.Files.Remove(filepath.Join(p.logDir(r.App), deployLogName(r.Number))),
		p.Store.DeleteRelease(ctx, r.App, r.Number, failedEvent(ctx, r, why)))
	if err != nil {
		p.unsettled.note(r.App)
		p.Logger.Error("forgetting a release", zap.String("app", r.App), zap.Int("release", r.Number), zap.Error(err))
	}
	p.Logger.Info("deploy refused", zap.String("app", r.App), zap.Int("release", r.Number), zap.NamedError("reason", why))
}

// staticRoot returns the absolute directory a release serves without a
// process, "" when it has none.
func (p *Platform) staticRoot(r hop3.Release) string {
	for _, proc := range r.Processes {
		if hop3.ServesHTTP(proc.Type) && proc.Count > 0 {
			return ""
		}
	}
	if r.Artifact.StaticRoot == "" {
		return ""
	}
	return filepath.Join(p.releaseDir(r.App, r.Build), filepath.FromSlash(r.Artifact.StaticRoot))
}
