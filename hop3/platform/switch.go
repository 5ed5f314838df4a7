package platform

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// rehearse is activate without the switch: the release is started beside the
// live one, found ready, and stopped. It is kept, and Switch lets it serve.
// What is returned is finished or reverted as any activation. The app is
// locked by the caller.
func (p *Platform) rehearse(ctx context.Context, r hop3.Release, out hop3.Output) (*activation, error) {
	_, err := p.startReady(ctx, r, out)
	p.stopQuietly(r)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	a, err := p.setAside(ctx, r)
	if err != nil {
		return nil, err
	}
	say(out, "-----> Release v%d of '%s' is ready and does not serve yet", r.Number, r.App)
	say(out, "       `hop3 releases switch v%d --app %s` lets it", r.Number, r.App)
	return a, nil
}

// setAside keeps a release that was built for later.
func (p *Platform) setAside(ctx context.Context, r hop3.Release) (*activation, error) {
	r, err := p.Store.UpdateRelease(context.WithoutCancel(ctx), r.App, r.Number, func(r *hop3.Release) error {
		r.Status, r.Took = hop3.ReleaseReady, time.Since(r.CreatedAt)
		return nil
	}, releaseEvent(ctx, hop3.EventReleaseReady, r, "v%d is ready and does not serve yet", r.Number))
	if err != nil {
		return nil, fmt.Errorf("storing that v%d is ready: %w", r.Number, err)
	}
	return &activation{p: p, release: r, held: true, by: askedBy(ctx)}, nil
}

// checkRehearsal refuses to hold back a release where nothing else serves.
func (p *Platform) checkRehearsal(app hop3.App) error {
	if app.Live != 0 {
		return nil
	}
	return hop3.Errorf(hop3.CodeInvalid, "'%s' has no release that could go on serving in place of the new one", app.Name).
		WithHint("Deploy it once without no-switch.")
}

// Switch lets a release serve that was built and found ready before, under its
// own number and with the variables it was built with, which become the app's.
// It returns a CodeConflict error for any other release, and when variables or
// counts were changed since: they would be taken back. When the release does
// not become ready once more, it stays as it was.
func (p *Platform) Switch(ctx context.Context, who Actor, name string, number int, out hop3.Output) (hop3.Release, error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return hop3.Release{}, err
	}
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return hop3.Release{}, err
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return hop3.Release{}, err
	}
	releases, err := p.Store.Releases(ctx, name)
	if err != nil {
		return hop3.Release{}, err
	}
	target, err := p.switchTarget(app, releases, number)
	if err != nil {
		return hop3.Release{}, err
	}
	making, change, end := p.cancelable(ctx, name)
	p.numbered(change, target.Number)
	a, err := p.activate(making, target, out)
	end(err)
	if err != nil {
		p.happened(failedEvent(ctx, target, err))
		return hop3.Release{}, err
	}
	a.finish()
	return a.release, p.adoptSettings(ctx, a.release)
}

// switchTarget finds the release among all, newest first, and checks it.
func (p *Platform) switchTarget(app hop3.App, releases []hop3.Release, number int) (hop3.Release, error) {
	for _, r := range releases {
		if r.Number > number && r.LiveAt.After(r.CreatedAt) && (r.Kind == hop3.ReleaseEnv || r.Kind == hop3.ReleaseScale) {
			return r, hop3.Errorf(hop3.CodeConflict, "Variables or counts of '%s' were changed (v%d) since v%d was built: switching would take that back.", app.Name, r.Number, number).
				WithHint("Push the commit again, or `hop3 redeploy --app %s` after it.", app.Name)
		}
		if r.Number != number {
			continue
		}
		if r.Status != hop3.ReleaseReady {
			return r, hop3.Errorf(hop3.CodeConflict, "Release v%d of '%s' is %s: only one that is ready can be switched to.", number, app.Name, r.Status).
				WithHint("`hop3 rollback v%d --app %s` lets one that served before serve again.", number, app.Name)
		}
		return r, p.checkKept(app, r, p.keeps(releases))
	}
	return hop3.Release{}, hop3.Errorf(hop3.CodeNotFound, "Release v%d of '%s' not found.", number, app.Name).
		WithHint("`hop3 releases --app %s` lists them.", app.Name)
}

// settleReady decides a push with no-switch that the server's end interrupted
// before git moved the branch, as settleRef does one that switched: the branch
// moves to a release that is kept, or neither of them happened.
func (p *Platform) settleReady(ctx context.Context, app hop3.App, r hop3.Release) error {
	current, err := p.Repos.Ref(ctx, repoOf(app), r.Ref.Name)
	if err != nil {
		return fmt.Errorf("reading the deploy branch: %w", err)
	}
	if current != r.Ref.New {
		p.Logger.Info("discarding an unconfirmed release", zap.String("app", app.Name), zap.Int("release", r.Number))
		p.discard(ctx, r, hop3.Errorf(hop3.CodeCanceled, "the server ended before git moved the branch"))
		return nil
	}
	_, err = p.Store.UpdateRelease(ctx, app.Name, r.Number, func(r *hop3.Release) error {
		r.Ref = nil
		return nil
	})
	return err
}
