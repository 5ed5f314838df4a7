package platform

import (
	"context"
	"fmt"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// AppStatus is what there is to know of an app.
type AppStatus struct {
	App       hop3.App
	Release   hop3.Release // the live one; zero without
	Instances []hop3.Instance
	Limits    hop3.Limits // those that are enforced
	URLs      []string    // the first is the one to show
	LocalURL  string      // of the first instance that serves HTTP
	Crashed   bool        // should answer, and no instance can
	Reason    string      // why it crashed, or failed, or could not be woken
	// Problems says what is wrong with single instances of an app that runs.
	Problems []string
	MovedTo  string // the address of the server that it went to
}

// AppSummary is what a list of apps shows of one.
type AppSummary struct {
	Name    string
	State   hop3.State
	Running int  // instances
	Crashed bool // should answer, and no instance can
	Moved   bool // to another server
}

// Apps returns a summary of every app that the caller may see, ordered by name.
// Of what runs it tells what the server knows anyway: there may be thousands.
func (p *Platform) Apps(ctx context.Context, who Actor) ([]AppSummary, error) {
	apps, err := p.visible(ctx, who)
	if err != nil {
		return nil, err
	}
	all := make([]AppSummary, 0, len(apps))
	for _, app := range apps {
		s, err := p.summary(ctx, app)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (p *Platform) summary(ctx context.Context, app hop3.App) (AppSummary, error) {
	s := AppSummary{Name: app.Name, State: app.State, Moved: p.movedTo(app.Name) != ""}
	if app.Live == 0 {
		return s, nil
	}
	instances, err := p.Runtime.Instances(ctx, hop3.ReleaseID{App: app.Name, Number: app.Live})
	if err != nil {
		return s, fmt.Errorf("asking the runtime about '%s': %w", app.Name, err)
	}
	for _, i := range instances {
		if i.State == hop3.InstanceRunning {
			s.Running++
		}
	}
	if !app.Awake() {
		return s, nil
	}
	release, ok := p.running.known(app.Name)
	if !ok || release.Number != app.Live {
		if release, err = p.Store.Release(ctx, app.Name, app.Live); err != nil {
			return s, err
		}
	}
	sick, _ := p.running.snapshot(app.Name)
	_, s.Crashed = p.problems(release, instances, sick, nil)
	return s, nil
}

// AppStatus returns the status of one app, without its secrets for who may
// only see it.
func (p *Platform) AppStatus(ctx context.Context, who Actor, name string) (AppStatus, error) {
	app, role, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return AppStatus{}, err
	}
	// Looking at the ports of processes, and at the certificates, takes too
	// long to do it for all apps.
	s, err := p.status(ctx, app, p.Prober.Diagnose)
	if err == nil && app.Awake() {
		s.Problems = append(s.Problems, p.certificateTroubles(ctx, s.Release.Hosts)...)
	}
	if role < hop3.RoleDeployer {
		s.App = withoutSecrets(s.App)
	}
	return s, err
}

// status returns what there is to know of an app; diagnose, when given, looks
// at the ports of its instances.
func (p *Platform) status(ctx context.Context, app hop3.App, diagnose func(hop3.Instance) string) (AppStatus, error) {
	s := AppStatus{App: app, Reason: app.Error, MovedTo: p.movedTo(app.Name)}
	if app.Live == 0 {
		s.URLs = p.urls(p.hostsOf(app.Name, app.Env))
		return s, nil
	}
	var err error
	if s.Release, err = p.Store.Release(ctx, app.Name, app.Live); err != nil {
		return s, err
	}
	s.URLs = p.urls(s.Release.Hosts)
	if p.Settings.LimitsMissing == nil {
		s.Limits = s.Release.Limits
	}
	if s.Instances, err = p.Runtime.Instances(ctx, s.Release.ID()); err != nil {
		return s, fmt.Errorf("asking the runtime about '%s': %w", app.Name, err)
	}
	sick, trouble := p.running.snapshot(app.Name)
	if app.Asleep && trouble != "" {
		s.Reason = "the last request could not wake it: " + trouble
	}
	if !app.Awake() {
		return s, nil
	}
	for _, i := range s.Instances {
		if s.LocalURL == "" && strings.HasPrefix(i.Upstream, "127.0.0.1:") {
			s.LocalURL = "http://" + i.Upstream
		}
	}
	s.Problems, s.Crashed = p.problems(s.Release, s.Instances, sick, diagnose)
	if s.Crashed && len(s.Problems) > 0 {
		s.Reason = s.Problems[0]
	}
	return s, nil
}

// CreateApp makes an app without source. It returns a CodeConflict error when
// the name is taken.
func (p *Platform) CreateApp(ctx context.Context, who Actor, name string) (hop3.App, error) {
	if err := hop3.ValidateAppName(name); err != nil {
		return hop3.App{}, err
	}
	if err := p.checkHosts(p.hostsOf(name, nil)); err != nil {
		return hop3.App{}, err
	}
	if hop3.ReservedAppName(name) {
		return hop3.App{}, hop3.Errorf(hop3.CodeInvalid, "'%s' cannot be an app's name: those with two dashes in a row are for previews", name).
			WithHint("`git push -o preview` to an app makes a preview of a branch.")
	}
	team, err := p.teamForNew(ctx, who, name)
	if err != nil {
		return hop3.App{}, err
	}
	return p.createApp(asked(ctx, who), hop3.App{Name: name, Team: team, CreatedBy: who.Username})
}

// createApp stores an app whose name was checked.
func (p *Platform) createApp(ctx context.Context, app hop3.App) (hop3.App, error) {
	app.State, app.Env = hop3.StateStopped, hop3.Env{}
	if err := p.Store.CreateApp(ctx, app, event(ctx, hop3.EventAppCreated, app.Name, "'%s' was created", app.Name)); err != nil {
		return hop3.App{}, err
	}
	if err := p.Files.MakeDir(p.logDir(app.Name)); err != nil {
		return hop3.App{}, fmt.Errorf("making the directory of '%s': %w", app.Name, err)
	}
	return p.Store.App(ctx, app.Name)
}

// ensureApp creates the app when there is none and reports whether it did. One
// that the caller may not see is a name that is taken.
func (p *Platform) ensureApp(ctx context.Context, who Actor, name string, out hop3.Output) (created bool, err error) {
	if err := hop3.ValidateAppName(name); err != nil {
		return false, err
	}
	app, _, err := p.app(ctx, who, name, hop3.RoleDeployer)
	if err == nil && app.Preview != nil {
		return false, isPreview(app)
	}
	if hop3.CodeOf(err) != hop3.CodeNotFound {
		return false, err
	}
	_, err = p.CreateApp(ctx, who, name)
	if hop3.CodeOf(err) == hop3.CodeConflict {
		if again := p.may(ctx, who, name, hop3.RoleDeployer); again == nil {
			return false, nil // somebody else was faster
		}
	}
	if err != nil {
		return false, err
	}
	say(out, "-----> Creating new app: %s", name)
	return true, nil
}
