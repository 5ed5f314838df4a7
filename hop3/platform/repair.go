package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// repairEvery is how often what runs is compared with what should.
const repairEvery = 30 * time.Second

// repairAll repairs what is not as it should be, again and again until ctx
// ends.
func (p *Platform) repairAll(ctx context.Context) {
	every(ctx, repairEvery, func() {
		p.guard("repairing the apps", func() {
			if err := p.repair(ctx); err != nil && ctx.Err() == nil {
				p.Logger.Error("repairing what runs", zap.Error(err))
			}
		})
	})
}

// repair compares what runs with what the database says, and brings it
// together: missing instances are started, releases that nobody wants are
// stopped, states that a crash has left half-way are settled. It writes
// nothing where all is well, and leaves an app alone that is being changed: it
// comes by again. An app that has failed is for its owner to start.
func (p *Platform) repair(ctx context.Context) error {
	left, err := p.Runtime.Releases(ctx)
	if err != nil {
		return fmt.Errorf("listing what runs: %w", err)
	}
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return fmt.Errorf("reading the apps: %w", err)
	}
	for _, app := range apps {
		if p.unsettled.has(app.Name) {
			if e := p.settle(ctx, app.Name); e != nil {
				err = errors.Join(err, fmt.Errorf("settling the last deploy of '%s': %w", app.Name, e))
			}
			continue // the database may not say yet what should run
		}
		if why := p.amiss(ctx, app); why != "" {
			if e := p.repairApp(ctx, app.Name, why); e != nil {
				err = errors.Join(err, fmt.Errorf("app '%s': %w", app.Name, e))
			}
		}
	}
	byName := make(map[string]hop3.App, len(apps))
	for _, app := range apps {
		byName[app.Name] = app
	}
	for _, id := range left {
		if p.unsettled.has(id.App) {
			continue
		}
		if app := byName[id.App]; app.Awake() && app.Live == id.Number || p.running.isDraining(id) {
			continue
		}
		err = errors.Join(err, p.stopUnwanted(ctx, id))
	}
	return err
}

// amiss says what of an app is not as it should be, "" when all is well.
func (p *Platform) amiss(ctx context.Context, app hop3.App) string {
	switch {
	case app.Live == 0:
		return ""
	case app.State == hop3.StateStarting || app.State == hop3.StateStopping:
		return "left " + app.State.String()
	case !app.Awake():
		return ""
	}
	r, ok := p.running.known(app.Name)
	if !ok || r.Number != app.Live {
		return "its release is not routed to"
	}
	wanted := p.wanted(r)
	instances, err := p.Runtime.Instances(ctx, r.ID())
	if err != nil {
		p.Logger.Warn("asking for the instances", zap.String("app", app.Name), zap.Error(err))
		return ""
	}
	kept := 0
	for _, i := range instances {
		if i.State != hop3.InstanceStopped {
			kept++
		}
	}
	if kept < wanted {
		return fmt.Sprintf("%d of %d instances are kept running", kept, wanted)
	}
	return ""
}

// wanted is how many instances of a release there should be.
func (p *Platform) wanted(r hop3.Release) (n int) {
	for _, proc := range r.Processes {
		if proc.Type != hop3.ProcessStatic && proc.Type != hop3.ProcessCron {
			n += p.count(r, proc)
		}
	}
	return n
}

// repairApp looks at an app again, now that nobody else changes it, and brings
// it to where the database says it is.
func (p *Platform) repairApp(ctx context.Context, name, why string) error {
	unlock, ok := p.locks.try(name)
	if !ok {
		return nil
	}
	defer unlock()
	unlockRunning, ok := p.tryLockRunning(name)
	if !ok {
		return nil
	}
	defer unlockRunning()
	app, err := p.Store.App(ctx, name)
	if hop3.CodeOf(err) == hop3.CodeNotFound || err == nil && p.amiss(ctx, app) == "" {
		return nil
	}
	if err != nil {
		return err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return err
	}
	p.Logger.Warn("repairing an app", zap.String("app", name), zap.Int("release", live.Number), zap.String("why", why))
	if app.State == hop3.StateStopping {
		return errors.Join(
			p.rest(ctx, live, hop3.RouteStopped),
			p.Runtime.Stop(ctx, live.ID(), p.Settings.StopGrace),
			p.setState(ctx, name, hop3.StateStopped, ""))
	}
	instances, err := p.Runtime.Instances(ctx, live.ID())
	if err != nil {
		return err
	}
	if app.State == hop3.StateStarting || !anyRuns(instances) {
		return p.bringUp(ctx, live)
	}
	// What cannot be started beside instances that serve does not fail them.
	if instances, err = p.startOrAdopt(ctx, live); err != nil {
		return err
	}
	return p.serve(ctx, live, instances, false)
}

func anyRuns(instances []hop3.Instance) bool {
	return slices.ContainsFunc(instances, func(i hop3.Instance) bool { return i.State == hop3.InstanceRunning })
}

// stopUnwanted stops a release that should not run, unless its app is being
// changed.
func (p *Platform) stopUnwanted(ctx context.Context, id hop3.ReleaseID) error {
	unlock, ok := p.locks.try(id.App)
	if !ok {
		return nil
	}
	defer unlock()
	unlockRunning, ok := p.tryLockRunning(id.App)
	if !ok {
		return nil
	}
	defer unlockRunning()
	app, err := p.Store.App(ctx, id.App)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return err
	}
	if err == nil && app.Awake() && app.Live == id.Number || p.running.isDraining(id) {
		return nil
	}
	p.Logger.Info("stopping what no committed release needs", zap.String("app", id.App), zap.Int("release", id.Number))
	return p.Runtime.Stop(ctx, id, p.Settings.StopGrace)
}
