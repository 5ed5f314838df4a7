package platform

import (
	"context"

	"github.com/abilian/hop3/hop3"
)

// transition moves an app to another state, in one transaction, if that is a
// legal move. See hop3.App.Move.
func (p *Platform) transition(ctx context.Context, app string, to hop3.State, why string, events ...hop3.Event) error {
	_, err := p.Store.UpdateApp(ctx, app, func(a *hop3.App) error { return a.Move(to, why) }, events...)
	return err
}

// setState is transition for who does not ask: a stop that a person insists
// on, and Reconcile, which finds things as they are. Where it is so already
// nothing is written: a start says so of every app.
func (p *Platform) setState(ctx context.Context, app string, state hop3.State, why string, events ...hop3.Event) error {
	a, err := p.Store.App(ctx, app)
	if err != nil {
		return err
	}
	wanted := a
	wanted.SetState(state, why)
	if a.State == wanted.State && a.Error == wanted.Error && a.Asleep == wanted.Asleep {
		return nil
	}
	_, err = p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		a.SetState(state, why)
		return nil
	}, events...)
	return err
}

// restingStatus is the status of the route of an app that is not awake.
func restingStatus(app hop3.App) string {
	switch {
	case app.Asleep:
		return hop3.RouteAsleep
	case app.State == hop3.StateFailed:
		return hop3.RouteFailed
	}
	return hop3.RouteStopped
}

// whileResting calls change with an app that is not awake, and sees to it that
// nobody wakes it meanwhile. For an app that is awake it does nothing and
// returns false. The app is locked by the caller.
func (p *Platform) whileResting(ctx context.Context, name string, change func(hop3.App) error) (resting bool, err error) {
	unlock, err := p.lockRunning(ctx, name)
	if err != nil {
		return false, err
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if err != nil || app.Awake() {
		return false, err
	}
	return true, change(app)
}
