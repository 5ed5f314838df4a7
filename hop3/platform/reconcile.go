package platform

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Reconcile makes processes, routes and files what the database says: exactly
// the committed releases run and are routed to, instances that survived are
// adopted, what was half made is removed. It runs at every start, after a
// crash and after a clean end alike, before anything is served. An app that
// cannot be brought back is marked failed; the others are not held up by it.
func (p *Platform) Reconcile(ctx context.Context) error {
	if err := p.loadFirewall(ctx); err != nil {
		return err
	}
	if err := p.finishDestroys(ctx); err != nil {
		return err
	}
	if err := p.Files.Remove(p.plansDir()); err != nil { // of a server that was killed
		p.Logger.Warn("removing the files of plans", zap.Error(err))
	}
	if err := p.settleBackups(ctx); err != nil {
		p.Logger.Error("settling backups", zap.Error(err)) // apps come first
	}
	if err := p.loadMoves(ctx); err != nil {
		return err
	}
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return fmt.Errorf("reading the apps: %w", err)
	}
	p.keepApps(ctx, apps)
	left, err := p.Runtime.Releases(ctx)
	if err != nil {
		return fmt.Errorf("listing what still runs: %w", err)
	}

	wanted := make(map[hop3.ReleaseID]bool, len(apps))
	var mu sync.Mutex
	err = p.eachApp(ctx, apps, func(ctx context.Context, app hop3.App) error {
		id, err := p.reconcileApp(ctx, app)
		mu.Lock()
		defer mu.Unlock()
		if id.Number != 0 {
			wanted[id] = true
		}
		return err
	})
	for _, id := range left {
		if !wanted[id] {
			p.Logger.Info("stopping what no committed release needs", zap.String("app", id.App), zap.Int("release", id.Number))
			err = errors.Join(err, p.Runtime.Stop(ctx, id, p.Settings.StopGrace))
		}
	}
	p.sweepPreviews(ctx, true)
	return err
}

// eachApp calls f for every app, a few at a time, and joins the errors.
func (p *Platform) eachApp(ctx context.Context, apps []hop3.App, f func(context.Context, hop3.App) error) error {
	const workers = 4
	work := make(chan hop3.App)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for app := range work {
				if err := f(ctx, app); err != nil {
					errs[i] = errors.Join(errs[i], fmt.Errorf("app '%s': %w", app.Name, err))
				}
			}
		})
	}
	for _, app := range apps {
		work <- app
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// reconcileApp brings one app to its committed state and returns the release
// that should have instances, Number 0 when none.
func (p *Platform) reconcileApp(ctx context.Context, app hop3.App) (hop3.ReleaseID, error) {
	p.running.maintain(app.Name, app.Maintenance)
	live, err := p.settleDeploys(ctx, app)
	if hop3.IsDiskFull(err) {
		// It is known what should run, and must run; repair writes it down.
		p.unsettled.note(app.Name)
		p.Logger.Error("settling the last deploy", zap.String("app", app.Name), zap.Error(err))
	} else if err != nil {
		return hop3.ReleaseID{}, err
	}
	if err := p.removeStrayDirs(ctx, app.Name); err != nil {
		p.Logger.Warn("removing left-over releases", zap.String("app", app.Name), zap.Error(err))
	}
	if live.Number == 0 {
		return hop3.ReleaseID{}, nil
	}
	if app, err = p.Store.App(ctx, app.Name); err != nil {
		return hop3.ReleaseID{}, err
	}
	if m, ok := p.moves.of(app.Name, false); ok && m.Gone() {
		return hop3.ReleaseID{}, p.restMoved(ctx, m, live)
	}
	switch app.State {
	case hop3.StateStopped, hop3.StateStopping:
		return hop3.ReleaseID{}, errors.Join(
			p.setState(ctx, app.Name, hop3.StateStopped, ""),
			p.rest(ctx, live, hop3.RouteStopped))
	}
	if app.Asleep {
		return hop3.ReleaseID{}, p.rest(ctx, live, hop3.RouteAsleep)
	}
	return live.ID(), p.bringUp(ctx, live)
}

// settleDeploys ends the deploys of an app that were interrupted: nobody else
// changes it. It returns the live release, also when the disk is so full that
// the database cannot be told.
func (p *Platform) settleDeploys(ctx context.Context, app hop3.App) (hop3.Release, error) {
	releases, err := p.Store.Releases(ctx, app.Name)
	if err != nil {
		return hop3.Release{}, err
	}
	for _, r := range releases {
		if r.Status == hop3.ReleaseBuilding {
			p.discard(ctx, r, hop3.Errorf(hop3.CodeCanceled, "the server ended, or its disk was full, before the deploy had ended"))
			if err := p.retireUnattached(ctx, r, releases); err != nil {
				p.Logger.Warn("removing the addons of an interrupted deploy", zap.String("app", app.Name), zap.Error(err))
			}
		}
		if r.Status == hop3.ReleaseReady && r.Ref != nil {
			if err := p.settleReady(ctx, app, r); err != nil {
				return hop3.Release{}, err
			}
		}
	}
	return p.settleRef(ctx, app, releases)
}

// bringUp adopts or starts the instances of a committed release and routes to
// it. It does not wait for readiness: requests wait at the proxy instead.
func (p *Platform) bringUp(ctx context.Context, live hop3.Release) error {
	instances, err := p.startOrAdopt(ctx, live)
	if err != nil {
		return errors.Join(
			fmt.Errorf("starting v%d: %w", live.Number, err),
			p.setState(ctx, live.App, hop3.StateFailed, hop3.MessageOf(err), appFailed(ctx, live, err)),
			p.rest(ctx, live, hop3.RouteFailed))
	}
	return errors.Join(
		p.setState(ctx, live.App, hop3.StateRunning, ""),
		p.serve(ctx, live, instances, false),
		p.Files.Link(p.releaseDir(live.App, live.Build), p.srcLink(live.App)))
}

// startOrAdopt starts what is missing of a release's instances. Where their
// number follows the load, those that an earlier server left are kept, within
// the bounds: the load is likely to be as it was.
func (p *Platform) startOrAdopt(ctx context.Context, live hop3.Release) ([]hop3.Instance, error) {
	l := p.launch(live)
	if proc, s, ok := follows(live); ok && !p.running.is(live) {
		left, err := p.Runtime.Instances(ctx, live.ID())
		if err != nil {
			return nil, err
		}
		l = withCount(l, proc.Type, min(max(counts(l)[proc.Type], ofType(left, proc.Type)), s.Max))
		if err := p.Runtime.Trim(ctx, live.ID(), counts(l), p.Settings.StopGrace); err != nil {
			return nil, err
		}
	}
	return p.Runtime.Start(ctx, l)
}

// settleRef decides a push that the server's end interrupted between the
// switch and git's move of the branch. When the branch has moved, the release
// is confirmed; otherwise the pusher was told nothing or a failure, and the
// release before it is live again. It returns the live release, as settleDeploys.
func (p *Platform) settleRef(ctx context.Context, app hop3.App, releases []hop3.Release) (hop3.Release, error) {
	var live, old hop3.Release
	for _, r := range releases {
		switch {
		case r.Number == app.Live:
			live = r
		case r.Status == hop3.ReleaseRetired && r.LiveAt.After(old.LiveAt):
			old = r
		}
	}
	if live.Ref == nil {
		return live, nil
	}
	current, err := p.Repos.Ref(ctx, repoOf(app), live.Ref.Name)
	if err != nil {
		return live, fmt.Errorf("reading the deploy branch: %w", err)
	}
	if current == live.Ref.New {
		_, err := p.Store.UpdateRelease(ctx, app.Name, live.Number, func(r *hop3.Release) error {
			r.Ref = nil
			return nil
		}, succeededEvent(ctx, live))
		return live, err
	}
	why := hop3.Errorf(hop3.CodeCanceled, "the server ended before git moved the branch")
	p.Logger.Info("taking back an unconfirmed release", zap.String("app", app.Name), zap.Int("release", live.Number))
	return old, p.backTo(ctx, live, old, why)
}

// removeStrayDirs removes the directories of releases that are not kept: those
// of failed deploys and of none.
func (p *Platform) removeStrayDirs(ctx context.Context, app string) error {
	names, err := p.Files.List(p.releasesDir(app))
	if err != nil {
		return err
	}
	releases, err := p.Store.Releases(ctx, app)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, r := range releases {
		if r.Status != hop3.ReleaseFailed || p.running.isDraining(r.ID()) {
			known[strconv.Itoa(r.Build)] = true
		}
	}
	for _, name := range names {
		if !known[name] {
			err = errors.Join(err, p.Files.Remove(p.releasesDir(app)+"/"+name))
		}
	}
	return err
}

// finishDestroys ends what a crash left of `app destroy`: with the app's row
// still there nothing was destroyed and its directory comes back; otherwise
// the directory goes.
func (p *Platform) finishDestroys(ctx context.Context) error {
	names, err := p.Files.List(p.appsDir())
	if err != nil {
		return fmt.Errorf("listing the apps' directories: %w", err)
	}
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, destroyedPrefix)
		if !ok {
			continue
		}
		app, _, _ := strings.Cut(rest, ".")
		dir := p.appsDir() + "/" + name
		if _, err := p.Store.App(ctx, app); hop3.CodeOf(err) == hop3.CodeNotFound {
			if err := errors.Join(p.Certs.ForgetApp(app), p.Files.Remove(dir)); err != nil {
				return fmt.Errorf("removing what is left of '%s': %w", app, err)
			}
			continue
		}
		if err := p.Files.Rename(dir, p.appDir(app)); err != nil {
			return fmt.Errorf("bringing back the files of '%s': %w", app, err)
		}
	}
	return nil
}
