package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/abilian/hop3/hop3"
)

// StartApp starts the live release of a stopped or failed app, or of one that
// is asleep, and waits until it is ready. Starting a running app is a
// CodeConflict error.
func (p *Platform) StartApp(ctx context.Context, who Actor, name string, out hop3.Output) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	unlock, app, live, err := p.lockLive(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	unlockRunning, err := p.lockRunning(ctx, name)
	if err != nil {
		return err
	}
	defer unlockRunning()
	if app, err = p.Store.App(ctx, name); err != nil {
		return err
	}
	if app.Asleep {
		return p.wake(ctx, live, out)
	}
	if app.State == hop3.StateRunning {
		return app.Move(hop3.StateRunning, "")
	}
	if err := p.transition(ctx, name, hop3.StateStarting, ""); err != nil {
		return err
	}
	instances, err := p.startReady(ctx, live, out)
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		p.stopQuietly(live)
		return errors.Join(err,
			p.transition(ctx, name, hop3.StateFailed, hop3.MessageOf(err), appFailed(ctx, live, err)),
			p.rest(ctx, live, hop3.RouteFailed))
	}
	return errors.Join(p.serve(ctx, live, instances, true), p.transition(ctx, name, hop3.StateRunning, "", releaseEvent(ctx, hop3.EventAppStarted, live, "'%s' was started", name)))
}

// StopApp stops an app once its requests are done, or the drain's time is up.
// Visitors get the page of a stopped app at once. Stopping a stopped app is a
// CodeConflict error.
func (p *Platform) StopApp(ctx context.Context, who Actor, name string, out hop3.Output) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	unlock, app, live, err := p.lockLive(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if app.State == hop3.StateStopped {
		return hop3.Errorf(hop3.CodeConflict, "App '%s' is already stopped.", name)
	}
	say(out, "-----> Stopping '%s'", name)
	unlockRunning, err := p.lockRunning(ctx, name)
	if err != nil {
		return err
	}
	defer unlockRunning()
	ctx = context.WithoutCancel(ctx) // a client that leaves does not stop a stop
	// A person insists: also what failed, or hangs half-way, is stopped.
	if err := p.setState(ctx, name, hop3.StateStopping, ""); err != nil {
		return err
	}
	if err := p.rest(ctx, live, hop3.RouteStopped); err != nil {
		return err
	}
	p.endCron(ctx, name, errors.New("the app was stopped"))
	// A stop is asked for by a person who waits: open requests get the grace
	// that processes get, not the long drain of a switch.
	drain, cancel := context.WithTimeout(ctx, p.Settings.StopGrace)
	defer cancel()
	_ = p.Proxy.Drain(drain, live.ID()) // its time being up is the bound, not a failure
	if err := p.Runtime.Stop(ctx, live.ID(), p.Settings.StopGrace); err != nil {
		return errors.Join(
			fmt.Errorf("stopping '%s': %w", name, err),
			p.transition(ctx, name, hop3.StateFailed, "the app did not stop: "+hop3.MessageOf(err), appFailed(ctx, live, err)))
	}
	return p.transition(ctx, name, hop3.StateStopped, "", releaseEvent(ctx, hop3.EventAppStopped, live, "'%s' was stopped", name))
}

// pause stops what runs of an app that is locked, without saying so in the
// database: a start of the server, and resume, bring it up again.
func (p *Platform) pause(ctx context.Context, live hop3.Release) (resume func() error, err error) {
	unlock, err := p.lockRunning(ctx, live.App)
	if err != nil {
		return func() error { return nil }, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	resume = func() error {
		unlock, err := p.lockRunning(ctx, live.App)
		if err != nil {
			return err
		}
		defer unlock()
		return p.bringUp(ctx, live)
	}
	if err := p.rest(ctx, live, hop3.RouteStopped); err != nil {
		return resume, err
	}
	drain, cancel := context.WithTimeout(ctx, p.Settings.StopGrace)
	defer cancel()
	_ = p.Proxy.Drain(drain, live.ID()) // as in StopApp
	return resume, p.Runtime.Stop(ctx, live.ID(), p.Settings.StopGrace)
}

// RestartApp puts a fresh release of the same artifact, with the environment
// of now, in place of the live one, without dropping a request.
func (p *Platform) RestartApp(ctx context.Context, who Actor, name string, out hop3.Output) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	_, err := p.rerelease(ctx, who, name, hop3.ReleaseRestart, nil, out)
	return err
}

// DestroyApp removes the app with everything it has: processes, releases,
// repository, data, logs, previews.
func (p *Platform) DestroyApp(ctx context.Context, who Actor, name string, out hop3.Output) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	return p.destroyApp(ctx, name, out)
}

// destroyApp is DestroyApp for who was asked already, or undoes.
func (p *Platform) destroyApp(ctx context.Context, name string, out hop3.Output) error {
	if err := p.destroyPreviews(ctx, name, out); err != nil {
		return err
	}
	unlock, err := p.lockAny(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if err == nil {
		err = p.destroyable(name)
	}
	if err != nil {
		return err
	}
	return p.destroyLocked(ctx, app, out)
}

// destroyLocked destroys an app that is locked.
func (p *Platform) destroyLocked(ctx context.Context, app hop3.App, out hop3.Output) error {
	name := app.Name
	say(out, "-----> Destroying '%s'", name)
	unlockRunning, err := p.lockRunning(ctx, name)
	if err != nil {
		return err
	}
	defer unlockRunning()
	ctx = context.WithoutCancel(ctx)
	p.running.forget(name)
	p.running.maintain(name, nil)
	defer p.barCron(name)()
	p.endCron(ctx, name, errors.New("the app was destroyed"))
	if err := p.Proxy.Remove(ctx, name); err != nil {
		return fmt.Errorf("taking the routes away: %w", err)
	}
	if err := p.stopAll(ctx, name); err != nil {
		return err
	}
	p.keepBuilds(ctx, name, nil)
	// The row is the truth: see finishDestroys for a crash in between.
	grave := p.destroyedDir(name, app.Live)
	// Of an app whose making was cut off there is not even that directory.
	if err := errors.Join(p.Files.MakeDir(p.appDir(name)), p.Files.Rename(p.appDir(name), grave)); err != nil {
		return fmt.Errorf("removing the files: %w", err)
	}
	if app.Preview == nil {
		p.tellKept(ctx, name, out)
	} else if err := p.retireOwnAddons(ctx, name); err != nil {
		return errors.Join(err, p.Files.Rename(grave, p.appDir(name)))
	}
	destroyed := event(ctx, hop3.EventAppDestroyed, name, "'%s' was destroyed", name)
	err = p.Store.DeleteApp(ctx, name, destroyed)
	if hop3.IsDiskFull(err) {
		// Who makes room must not need any: what can be made again goes first.
		err = errors.Join(p.Files.Remove(filepath.Join(grave, "cache")), p.Files.Remove(filepath.Join(grave, "releases")))
		if err == nil {
			err = p.Store.DeleteApp(ctx, name, destroyed)
		}
	}
	if err != nil {
		return errors.Join(err, p.Files.Rename(grave, p.appDir(name)))
	}
	p.forgetMoves(name)
	if app.Preview != nil {
		p.unprovision(ctx, name)
	}
	return errors.Join(p.Certs.ForgetApp(name), p.forgetFirewall(name), p.forgetFailures(name), p.Files.Remove(grave))
}

// stopAll stops every release of the app that has instances, also those that
// are draining.
func (p *Platform) stopAll(ctx context.Context, app string) error {
	running, err := p.Runtime.Releases(ctx)
	if err != nil {
		return err
	}
	for _, id := range running {
		if id.App != app {
			continue
		}
		if err := p.Runtime.Stop(ctx, id, p.Settings.StopGrace); err != nil {
			return fmt.Errorf("stopping v%d: %w", id.Number, err)
		}
	}
	return nil
}

// StopAll stops the instances of every app and leaves the database alone: the
// next start brings them up again. For a server that is thrown away.
func (p *Platform) StopAll(ctx context.Context) error {
	running, err := p.Runtime.Releases(ctx)
	if err != nil {
		return err
	}
	for _, id := range running {
		err = errors.Join(err, p.Runtime.Stop(ctx, id, p.Settings.StopGrace))
	}
	return err
}

// lockLive locks an app that has a live release.
func (p *Platform) lockLive(ctx context.Context, name string) (unlock func(), app hop3.App, live hop3.Release, err error) {
	if unlock, err = p.lock(ctx, name); err != nil {
		return nil, app, live, err
	}
	app, err = p.Store.App(ctx, name)
	if err == nil && app.Live == 0 {
		err = hop3.Errorf(hop3.CodeConflict, "App '%s' has never been deployed.", name).
			WithHint("Push to it with git, or run `hop3 deploy --app %s`.", name)
	}
	if err == nil {
		live, err = p.Store.Release(ctx, name, app.Live)
	}
	if err != nil {
		unlock()
		return nil, app, live, err
	}
	return unlock, app, live, nil
}
