package platform

import (
	"context"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

// rerelease makes and activates a release out of the live one: the same
// artifact, with what change alters. A stopped app only gets the new release
// recorded when it starts; see changeStopped.
func (p *Platform) rerelease(ctx context.Context, who Actor, name string, kind hop3.ReleaseKind, change func(*hop3.Release), out hop3.Output) (hop3.Release, error) {
	unlock, app, live, err := p.lockLive(ctx, name)
	if err != nil {
		return hop3.Release{}, err
	}
	defer unlock()
	return p.rereleaseLocked(ctx, who, app, live, kind, change, out)
}

func (p *Platform) rereleaseLocked(ctx context.Context, who Actor, app hop3.App, base hop3.Release, kind hop3.ReleaseKind, change func(*hop3.Release), out hop3.Output) (_ hop3.Release, err error) {
	ctx = asked(ctx, who)
	ctx, under, end := p.cancelable(ctx, app.Name)
	defer func() { end(err) }()
	next := base
	next.Kind, next.Status, next.User, next.Ref, next.Error, next.Took = kind, hop3.ReleaseBuilding, who.Username, nil, "", 0
	if change != nil {
		change(&next)
	}
	next, err = p.Store.NewRelease(ctx, next)
	if err != nil {
		return hop3.Release{}, fmt.Errorf("storing the new release: %w", err)
	}
	p.numbered(under, next.Number)
	out, endLog := p.record(next, out)
	defer func() { endLog(err) }()
	a, err := p.activate(ctx, next, out)
	if err != nil {
		p.discard(ctx, next, err)
		return hop3.Release{}, err
	}
	a.finish()
	return a.release, nil
}

// Releases returns the app's releases, newest first.
func (p *Platform) Releases(ctx context.Context, who Actor, app string) ([]hop3.Release, error) {
	if err := p.may(ctx, who, app, hop3.RoleViewer); err != nil {
		return nil, err
	}
	return p.Store.Releases(ctx, app)
}

// Rollback makes a release that served before serve again: its artifact, its
// environment, its processes, under a new number and without a build. With to
// 0 it is the one before the live one.
func (p *Platform) Rollback(ctx context.Context, who Actor, name string, to int, out hop3.Output) (hop3.Release, error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return hop3.Release{}, err
	}
	unlock, app, _, err := p.lockLive(ctx, name)
	if err != nil {
		return hop3.Release{}, err
	}
	defer unlock()
	target, err := p.rollbackTarget(ctx, app, to)
	if err != nil {
		return hop3.Release{}, err
	}
	say(out, "-----> Rolling '%s' back to v%d", name, target.Number)
	r, err := p.rereleaseLocked(ctx, who, app, target, hop3.ReleaseRollback, nil, out)
	if err != nil {
		return r, err
	}
	return r, p.adoptSettings(ctx, r)
}

// rollbackTarget returns the release to go back to, whose files must be kept.
func (p *Platform) rollbackTarget(ctx context.Context, app hop3.App, to int) (hop3.Release, error) {
	releases, err := p.Store.Releases(ctx, app.Name)
	if err != nil {
		return hop3.Release{}, err
	}
	for _, r := range releases {
		if to == 0 && r.Status == hop3.ReleaseRetired && r.Number < app.Live || to != 0 && r.Number == to {
			return r, p.checkTarget(app, r, p.keeps(releases))
		}
	}
	if to == 0 {
		return hop3.Release{}, hop3.Errorf(hop3.CodeNotFound, "App '%s' has no earlier release to go back to.", app.Name)
	}
	return hop3.Release{}, hop3.Errorf(hop3.CodeNotFound, "Release v%d of '%s' not found.", to, app.Name).
		WithHint("`hop3 releases --app %s` lists them.", app.Name)
}

func (p *Platform) checkTarget(app hop3.App, r hop3.Release, kept int) error {
	if r.Status == hop3.ReleaseReady {
		return hop3.Errorf(hop3.CodeConflict, "Release v%d of '%s' has not served yet.", r.Number, app.Name).
			WithHint("`hop3 releases switch v%d --app %s` lets it.", r.Number, app.Name)
	}
	if r.Status == hop3.ReleaseFailed || r.Status == hop3.ReleaseBuilding {
		return hop3.Errorf(hop3.CodeConflict, "Release v%d of '%s' never served.", r.Number, app.Name)
	}
	if r.Number == app.Live {
		return hop3.Errorf(hop3.CodeConflict, "Release v%d of '%s' is the live one.", r.Number, app.Name)
	}
	return p.checkKept(app, r, kept)
}

// checkKept reports that the files of a release are gone; kept is how many
// releases of the app have theirs.
func (p *Platform) checkKept(app hop3.App, r hop3.Release, kept int) error {
	names, err := p.Files.List(p.releaseDir(app.Name, r.Build))
	if err != nil {
		return err
	}
	if len(names) == 0 && r.Artifact.StaticRoot == "" && len(r.Processes) > 0 {
		return hop3.Errorf(hop3.CodeConflict, "The files of release v%d of '%s' are no longer kept.", r.Number, app.Name).
			WithHint("The last %d releases are, unless the disk is full ([deploy].keep of hop3.toml, or KEEP_RELEASES of the server). Push the commit %.8s again instead.", kept, r.Commit)
	}
	return nil
}

// adoptSettings makes a release's variables and counts those of the app, so
// that the next release starts from them.
func (p *Platform) adoptSettings(ctx context.Context, r hop3.Release) error {
	_, err := p.Store.UpdateApp(context.WithoutCancel(ctx), r.App, func(app *hop3.App) error {
		if app.Preview != nil {
			return nil // most of its variables are its parent's
		}
		app.Env, app.Scale, app.HTTP = storedEnv(r), map[string]int{}, r.HTTPLayers.Set
		for _, proc := range r.Processes {
			if proc.Count != 1 {
				app.Scale[proc.Type] = proc.Count
			}
		}
		return nil
	})
	return err
}
