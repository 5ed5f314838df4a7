package platform

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

// Plan is what a deploy of a source would do, as far as it can be known without
// a build.
type Plan struct {
	App  string
	New  bool         // the deploy would create the app
	Live hop3.Release // what serves now; zero when nothing does
	// Builder would build, because of Reason.
	Builder, Reason string
	// Steps are the developer's commands that would run, in this order.
	Steps []PlanStep
	// Differences are those of the new release from the live one, but for the
	// source itself. What a toolchain finds out is taken to be as it is.
	Differences []hop3.Difference
	Notes       []string // warnings of the deploy
	Problems    []string // why it would fail
}

// PlanStep is a command that a deploy would run.
type PlanStep struct{ When, Command string }

// Plan says what Deploy would do with a request, and does nothing of it: no
// app, release, certificate or port is made or taken. Errors mean that it could
// not be said; why the deploy itself would fail is among its Problems.
func (p *Platform) Plan(ctx context.Context, who Actor, req DeployRequest) (Plan, error) {
	app, isNew, err := p.appToDeploy(ctx, who, req.App)
	if err != nil {
		return Plan{}, err
	}
	done, err := p.buildSlot(ctx, req.Out) // unpacking takes as much room as a build
	if err != nil {
		return Plan{}, err
	}
	defer done()
	dir := filepath.Join(p.plansDir(), rand.Text())
	if err := p.Files.MakeDir(dir); err != nil {
		return Plan{}, fmt.Errorf("making a directory for the plan: %w", err)
	}
	defer func() {
		if err := p.Files.Remove(dir); err != nil {
			p.Logger.Warn("removing the files of a plan", zap.String("app", req.App), zap.Error(err))
		}
	}()
	if err := req.Source.CheckOut(ctx, dir); err != nil {
		return Plan{}, err
	}
	plan := &planning{Plan: Plan{App: app.Name, New: isNew}, p: p, dir: dir, req: req}
	if app.Live != 0 {
		if plan.Live, err = p.Store.Release(ctx, app.Name, app.Live); err != nil {
			return Plan{}, err
		}
	}
	m, err := p.manifestIn(dir)
	if err != nil {
		plan.wrong(err)
		return plan.Plan, nil
	}
	return plan.of(ctx, app, m)
}

// Private

// plansDir is where the sources of plans are while they are looked at.
func (p *Platform) plansDir() string { return filepath.Join(p.Settings.Home, "plans") }

// appToDeploy is the app that a deploy would be of, and whether it would make
// it.
func (p *Platform) appToDeploy(ctx context.Context, who Actor, name string) (app hop3.App, isNew bool, err error) {
	if err := hop3.ValidateAppName(name); err != nil {
		return app, false, err
	}
	if err := p.AuthorizeCreate(ctx, who, name); err != nil {
		return app, false, err
	}
	app, err = p.Store.App(ctx, name)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		return hop3.App{Name: name}, true, nil
	}
	if err == nil && app.Preview != nil {
		err = isPreview(app)
	}
	return app, false, err
}

// planning is a plan that is made.
type planning struct {
	Plan
	p   *Platform
	dir string
	req DeployRequest
}

func (pl *planning) wrong(errs ...error) {
	for _, err := range errs {
		if err != nil {
			pl.Problems = append(pl.Problems, hop3.MessageOf(err))
		}
	}
}

// Log takes what the steps of a deploy warn of.
func (pl *planning) Log(line hop3.LogLine) {
	pl.Notes = append(pl.Notes, strings.TrimPrefix(strings.TrimSpace(line.Text), "Warning: "))
}

// of goes through the steps of a deploy that need no build.
func (pl *planning) of(ctx context.Context, app hop3.App, m *manifest.Manifest) (Plan, error) {
	p := pl.p
	tellManifest(pl, m)
	volumes, err := p.settleVolumes(pl.dir, m.Volumes)
	pl.wrong(p.checkEnv(pl.req.Env), err)
	if err == nil {
		m.Volumes = volumes
	}
	next := pl.Live // for what is only known after the build, or by the source
	pl.wrong(p.withAccounts(&app, m))
	resolved, err := p.resolveEnv(ctx, app, m, pl.req.Env)
	if err != nil { // nothing that follows can be known
		pl.wrong(err)
		return pl.Plan, nil
	}
	for _, key := range resolved.Kept {
		pl.Notes = append(pl.Notes, fmt.Sprintf("the set value of %s is kept, and not that of hop3.toml", key))
	}
	for _, key := range resolved.Unresolved {
		pl.Notes = append(pl.Notes, fmt.Sprintf("the computed variable %s mentions a variable that is not set", key))
	}
	hosts := p.hostsOf(app.Name, resolved.Env)
	limits, limitsErr := p.limits(m.Limits, pl)
	layers, notes := deployLayers(app, m, resolved.Env)
	pl.Notes = append(pl.Notes, notes...)
	pl.wrong(checkCron(m.Cron, resolved.Env), p.checkHosts(hosts), p.checkClaims(ctx, app.Name, hosts), limitsErr,
		p.countInstances(app.Name, m), p.checkFirewall(ctx, m.WAF), p.freePorts(ctx, app, m.Ports), setLayers(&next, layers))
	pl.wrong(pl.build(ctx, m, resolved.Env))

	next.Processes = processes(m, pl.Live.Artifact, app.Scale)
	next.Health, next.Cron, next.StartTimeout = m.Health, m.Cron, m.StartTimeout
	next.Hosts, next.Env, next.Limits, next.Scaling, next.WAF = hosts, resolved.Env, limits, m.Scaling, m.WAF
	next.Volumes, next.Ports, next.Static, next.Keep = m.Volumes, m.Ports, m.Static, m.Keep
	pl.Differences = differences(pl.Live, next)
	pl.steps(app, m)
	return pl.Plan, nil
}

// build finds out who would build.
func (pl *planning) build(ctx context.Context, m *manifest.Manifest, vars hop3.Env) error {
	p, name := pl.p, pl.App
	options := m.Build
	options.Processes = m.Processes
	options.Strict = options.Strict || p.Settings.StrictBuilds
	req := hop3.BuildRequest{
		App: name, Source: pl.dir, AppDir: p.appDir(name), CacheDir: p.cacheDir(name), LogFile: p.buildLog(name),
		Env: vars, Options: options, Before: m.BeforeBuild, After: m.AfterBuild, Out: hop3.Discard,
	}
	builder, err := p.builder(ctx, m.Builder, req)
	if err != nil {
		return err
	}
	reason, ok := builder.Accept(ctx, req)
	pl.Builder, pl.Reason = builder.Name(), reason
	if !ok { // it was asked for by name
		return hop3.Errorf(hop3.CodeDeploy, "the builder '%s' does not take the source: %s", builder.Name(), reason)
	}
	return checkDeployer(m.Deployer, builder.Name())
}

// steps lists the developer's commands, in their order.
func (pl *planning) steps(app hop3.App, m *manifest.Manifest) {
	add := func(when string, commands ...string) {
		for _, c := range commands {
			pl.Steps = append(pl.Steps, PlanStep{when, c})
		}
	}
	add("before the build", m.BeforeBuild...)
	add("build", m.Build.Commands...)
	add("after the build", m.AfterBuild...)
	add("before the start", slices.Concat(m.BeforeRun, m.Release)...)
	if app.Live == 0 {
		add("after the first deploy", m.PostDeploy...)
	}
}

// freePorts is claimPorts that claims nothing.
func (p *Platform) freePorts(ctx context.Context, app hop3.App, ports []hop3.Port) error {
	if len(ports) == 0 {
		return nil
	}
	claims, err := p.Store.Ports(ctx)
	problems := []error{err, p.checkPorts(ports)}
	for _, port := range ports {
		for _, c := range claims {
			if c.App != app.Name && port.Is(c.Port) {
				problems = append(problems, hop3.Errorf(hop3.CodeConflict, "port %s of the host belongs to the app '%s'", port, c.App))
			}
		}
	}
	return errors.Join(problems...)
}
