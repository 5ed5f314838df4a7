package platform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

// A preview is an app of its own: it has releases, data, volumes, logs, a route
// and a lock, and all verbs work on it. What makes it a preview is
// hop3.App.Preview: its source is a branch in the repository of its parent, its
// variables are laid over its parent's, and it does not last.

// previewVariable is set to 1 in previews.
const previewVariable = "HOP3_PREVIEW"

// repoOf is the app in whose repository an app's commits are.
func repoOf(app hop3.App) string {
	if app.Preview != nil {
		return app.Preview.Parent
	}
	return app.Name
}

// Previews returns the previews of an app, ordered by name.
func (p *Platform) Previews(ctx context.Context, who Actor, parent string) ([]AppStatus, error) {
	if err := p.may(ctx, who, parent, hop3.RoleViewer); err != nil {
		return nil, err
	}
	apps, err := p.previewsOf(ctx, parent)
	if err != nil {
		return nil, err
	}
	var all []AppStatus
	for _, app := range apps {
		s, err := p.status(ctx, app, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (p *Platform) previewsOf(ctx context.Context, parent string) ([]hop3.App, error) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	var found []hop3.App
	for _, app := range apps {
		if app.Preview != nil && app.Preview.Parent == parent {
			found = append(found, app)
		}
	}
	return found, nil
}

// ServePreviews says whether every other branch that is pushed to an app is
// served as a preview, or only those pushed with -o preview.
func (p *Platform) ServePreviews(ctx context.Context, who Actor, app string, all bool) error {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return err
	}
	_, err := p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		if a.Preview != nil {
			return isPreview(*a)
		}
		a.Previews = all
		return nil
	}, configChanged(ctx, app, []hop3.Difference{{Property: "Previews of every branch", New: map[bool]string{true: "on", false: "off"}[all]}}))
	return err
}

// SetPreviewEnv sets and removes variables of an app's previews. They hold from
// the next push of each on.
func (p *Platform) SetPreviewEnv(ctx context.Context, who Actor, app string, set hop3.Env, unset []string) error {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return err
	}
	if err := p.checkEnv(set); err != nil {
		return err
	}
	_, err := p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		if a.Preview != nil {
			return isPreview(*a)
		}
		a.PreviewEnv = changed(a.PreviewEnv, set, unset)
		return nil
	}, configChanged(ctx, app, changedVariables("Previews' ", emptyEnv(unset), set)))
	return err
}

// preview returns the preview of a branch, or a CodeNotFound error.
func (p *Platform) preview(ctx context.Context, parent, branch string) (hop3.App, error) {
	if _, err := p.Store.App(ctx, parent); err != nil {
		return hop3.App{}, err
	}
	apps, err := p.previewsOf(ctx, parent)
	if err != nil {
		return hop3.App{}, err
	}
	for _, app := range apps {
		if app.Preview.Branch == branch || app.Name == branch {
			return app, nil
		}
	}
	return hop3.App{}, hop3.Errorf(hop3.CodeNotFound, "App '%s' has no preview of a branch '%.80s'.", parent, branch).
		WithHint("`hop3 preview list --app %s` lists them.", parent)
}

// RemovePreview destroys the preview of a branch. The branch stays.
func (p *Platform) RemovePreview(ctx context.Context, who Actor, parent, branch string, out hop3.Output) error {
	if err := p.may(ctx, who, parent, hop3.RoleDeployer); err != nil {
		return err
	}
	app, err := p.preview(ctx, parent, branch)
	if err != nil {
		return err
	}
	return p.DestroyApp(ctx, who, app.Name, out)
}

// ExtendPreview lets the preview of a branch last for a time from now on, for
// the server's default with 0, and returns until when.
func (p *Platform) ExtendPreview(ctx context.Context, who Actor, parent, branch string, lasts time.Duration) (time.Time, error) {
	if err := p.may(ctx, who, parent, hop3.RoleDeployer); err != nil {
		return time.Time{}, err
	}
	app, err := p.preview(ctx, parent, branch)
	if err != nil {
		return time.Time{}, err
	}
	return p.extend(ctx, app.Name, lasts)
}

func (p *Platform) extend(ctx context.Context, name string, lasts time.Duration) (time.Time, error) {
	if lasts == 0 {
		lasts = p.Settings.PreviewExpiry
	}
	expires := p.now().Add(lasts).UTC().Truncate(time.Second)
	_, err := p.Store.UpdateApp(ctx, name, func(a *hop3.App) error {
		a.Preview.Expires = expires
		return nil
	}, configChanged(ctx, name, []hop3.Difference{{Property: "Expiry", New: expires.Format(time.RFC3339)}}))
	return expires, err
}

// ensurePreview makes the app of a branch's preview when there is none.
func (p *Platform) ensurePreview(ctx context.Context, who Actor, parent hop3.App, branch string) (name string, created bool, err error) {
	if name, err = hop3.PreviewName(parent.Name, branch); err != nil {
		return "", false, err
	}
	app, err := p.Store.App(ctx, name)
	switch {
	case err == nil && (app.Preview == nil || app.Preview.Parent != parent.Name || app.Preview.Branch != branch):
		return "", false, hop3.Errorf(hop3.CodeConflict, "the name '%s', which the preview of '%s' would have, is taken", name, branch)
	case err == nil:
		return name, false, nil
	case hop3.CodeOf(err) != hop3.CodeNotFound:
		return "", false, err
	}
	others, err := p.previewsOf(ctx, parent.Name)
	if err != nil {
		return "", false, err
	}
	if most := p.Settings.PreviewsMax; len(others) >= most {
		return "", false, hop3.Errorf(hop3.CodeConflict, "'%s' has %d previews, and %d are the most", parent.Name, len(others), most).
			WithHint("`hop3 preview list --app %s` lists them, `hop3 preview remove BRANCH` makes room.", parent.Name)
	}
	_, err = p.createApp(ctx, hop3.App{
		Name: name, Team: parent.Team, DeployBranch: branch, CreatedBy: who.Username,
		Preview: &hop3.Preview{Parent: parent.Name, Branch: branch, Expires: p.now().Add(p.Settings.PreviewExpiry).UTC().Truncate(time.Second)},
	})
	return name, err == nil, err
}

// asPreview changes, for the deploy of a preview, what is its parent's alone:
// hosts and cron entries go, it sleeps when nobody asks for it, and its
// variables are laid over those of its parent.
func (p *Platform) asPreview(ctx context.Context, app hop3.App, m *manifest.Manifest) (hop3.App, error) {
	if app.Preview == nil {
		return app, nil
	}
	parent, err := p.Store.App(ctx, app.Preview.Parent)
	if err != nil {
		return app, err
	}
	origins, err := p.originsOf(ctx, app)
	if err != nil {
		return app, err
	}
	m.Domains, m.DomainsOverride, m.Cron = nil, false, nil
	delete(m.Env.Static, hop3.HostName)
	scaling := map[string]hop3.Scaling{}
	for name, s := range m.Scaling {
		scaling[name] = s
	}
	web := scaling[hop3.ProcessWeb]
	if after := p.Settings.PreviewSleep; web.SleepAfter == 0 || web.SleepAfter > after {
		web.SleepAfter = after
	}
	scaling[hop3.ProcessWeb] = web
	m.Scaling = scaling

	found, own := hop3.Env{}, hop3.Env{}
	for key, value := range app.Env {
		if origin := origins[key]; origin == "" || origin == hop3.OriginConfig {
			own[key] = value
		} else {
			found[key] = value // by an earlier deploy
		}
	}
	app.Env = found.Merge(parent.Env, parent.PreviewEnv, own, hop3.Env{
		previewVariable: "1",
		hop3.HostName:   p.hostsOf(app.Name, nil)[0],
	})
	return app, nil
}

// previewPush is a branch of a push that is served as a preview.
type previewPush struct {
	name       string
	created    bool
	ref        hop3.RefMove
	unlock     func()
	activation *activation
}

// wantsPreview reports whether a pushed reference, which does not deploy, is
// served.
func (push *Push) wantsPreview(app hop3.App, name string) bool {
	return strings.HasPrefix(name, heads) && (push.options.preview || app.Previews)
}

// checkPreviews refuses options that do not go together.
func (push *Push) checkPreviews(deploy *hop3.RefMove, previews []hop3.RefMove) error {
	switch {
	case push.options.preview && deploy != nil:
		return hop3.Errorf(hop3.CodeInvalid, "'%s' is the branch that deploys; it cannot be a preview", strings.TrimPrefix(deploy.Name, heads)).
			WithHint("-o no-switch builds it and lets the old release serve on. For a preview, push it to another branch.")
	case push.options.preview && len(previews) == 0:
		return hop3.Errorf(hop3.CodeInvalid, "there is no branch in this push that could be a preview")
	case push.options.noSwitch && deploy == nil && len(previews) > 0:
		return hop3.Errorf(hop3.CodeInvalid, "no-switch is for the branch that deploys, and has no effect on a preview")
	case push.options.canary != nil && deploy == nil && len(previews) > 0:
		return hop3.Errorf(hop3.CodeInvalid, "canary is for the branch that deploys, and has no effect on a preview")
	}
	return nil
}

// deployPreview deploys a branch as a preview and leaves that locked until
// Settle.
func (push *Push) deployPreview(ctx context.Context, parent hop3.App, ref hop3.RefMove, vars hop3.Env, received hop3.Push) error {
	p, branch := push.p, strings.TrimPrefix(ref.Name, heads)
	name, created, err := p.ensurePreview(ctx, push.who, parent, branch)
	if err != nil {
		return err
	}
	preview := &previewPush{name: name, created: created, ref: ref}
	push.previews = append(push.previews, preview)
	if preview.unlock, err = p.lockForDeploy(ctx, name, push.out); err != nil {
		return err
	}
	if err := push.checkMove(ctx, ref); err != nil {
		return err
	}
	source, err := received.Commit(ctx, ref.New)
	if err != nil {
		return err
	}
	say(push.out, "-----> Deploying branch '%s' (%.8s) as the preview '%s'", branch, ref.New, name)
	preview.activation, err = p.deploy(ctx, push.who, DeployRequest{
		App: name, Kind: hop3.ReleasePush, Source: branchSource{source, branch}, Ref: &ref, Env: vars, Out: push.out,
	})
	return err
}

// settlePreviews confirms the previews whose branch has moved, and takes the
// others back; those of branches that were deleted go.
func (push *Push) settlePreviews(ctx context.Context, exit error) {
	p := push.p
	for _, preview := range push.previews {
		if err := push.settlePreview(ctx, preview, exit); err != nil {
			p.Logger.Error("settling a preview", zap.String("app", preview.name), zap.Error(err))
		}
	}
	if len(push.deleted) > 0 {
		p.Go("previews", func(ctx context.Context) { p.sweepPreviews(ctx, false) })
	}
}

func (push *Push) settlePreview(ctx context.Context, preview *previewPush, exit error) error {
	p := push.p
	if preview.unlock != nil {
		defer preview.unlock()
	}
	if a := preview.activation; a != nil {
		current, err := p.Repos.Ref(ctx, push.app, preview.ref.Name)
		if err == nil && current == preview.ref.New {
			a.finish()
			_, err = p.extend(ctx, preview.name, 0)
			return err
		}
		a.revert(hop3.Errorf(hop3.CodeConflict, "git did not move the branch after the deploy; the release was taken back"))
		p.Logger.Warn("a pushed preview was taken back", zap.String("app", preview.name), zap.Errors("why", []error{err, exit}))
	}
	if !preview.created {
		return nil
	}
	if preview.unlock != nil {
		preview.unlock() // destroying takes the lock itself
	}
	return p.destroyApp(ctx, preview.name, hop3.Discard)
}

// destroyPreviews destroys all previews of an app that is being destroyed. One
// that is made meanwhile, the next sweep finds.
func (p *Platform) destroyPreviews(ctx context.Context, parent string, out hop3.Output) error {
	previews, err := p.previewsOf(ctx, parent)
	for _, preview := range previews {
		if e := p.destroyApp(ctx, preview.Name, out); hop3.CodeOf(e) != hop3.CodeNotFound {
			err = errors.Join(err, e)
		}
	}
	return err
}

// previewGrace is how long a preview may have no release: it is being made.
const previewGrace = time.Minute

// tendPreviews destroys the previews that are over, until ctx ends.
func (p *Platform) tendPreviews(ctx context.Context) {
	every(ctx, time.Minute, func() {
		p.guard("tending the previews", func() { p.sweepPreviews(ctx, false) })
	})
}

// sweepPreviews destroys the previews that are over; at a start also those that
// a crash left half made. One that is being changed is left for the next time.
func (p *Platform) sweepPreviews(ctx context.Context, starting bool) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		p.Logger.Error("reading the previews", zap.Error(err))
		return
	}
	for _, app := range apps {
		if app.Preview == nil {
			continue
		}
		if err := p.sweepPreview(ctx, app.Name, starting); err != nil && ctx.Err() == nil {
			p.Logger.Error("destroying a preview that is over", zap.String("app", app.Name), zap.Error(err))
		}
	}
}

func (p *Platform) sweepPreview(ctx context.Context, name string, starting bool) error {
	unlock, ok := p.locks.try(name)
	if !ok {
		return nil
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	why, err := p.over(ctx, app, starting)
	if err != nil || why == "" {
		return err
	}
	p.Logger.Info("destroying a preview", zap.String("app", name), zap.String("why", why))
	return p.destroyLocked(ctx, app, hop3.Discard)
}

// over says why a preview has no reason to be any more, "" when it has.
func (p *Platform) over(ctx context.Context, app hop3.App, starting bool) (string, error) {
	if app.Preview == nil {
		return "", nil
	}
	_, err := p.Store.App(ctx, app.Preview.Parent)
	switch {
	case hop3.CodeOf(err) == hop3.CodeNotFound:
		return "its app is gone", nil
	case err != nil:
		return "", err
	case !p.now().Before(app.Preview.Expires):
		return "it has expired", nil
	case app.Live == 0 && (starting || p.now().Sub(app.CreatedAt) > previewGrace):
		return "it never served", nil
	case app.Live == 0:
		return "", nil
	}
	ref, err := p.Repos.Ref(ctx, app.Preview.Parent, heads+app.Preview.Branch)
	if err != nil {
		return "", fmt.Errorf("reading its branch: %w", err)
	}
	if ref == "" {
		return "its branch is gone", nil
	}
	return "", nil
}
