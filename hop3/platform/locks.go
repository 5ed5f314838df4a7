package platform

import (
	"context"
	"errors"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// locks serialise the changes of each app. A lock is owned by the process: it
// dies with it, so nothing is ever left locked.
type locks struct {
	mu   sync.Mutex
	apps map[string]*appLock
}

// appLock is the lock of one app while anybody holds it or waits for it.
type appLock struct {
	slot  chan struct{} // holds one value while the lock is held
	users int           // holders and waiters
	// deploy ends the wait of the deploy that waits now, if one does.
	deploy context.CancelCauseFunc
}

// lock waits until no other change of the app is under way. The returned
// function gives the lock back; it may be called more than once. An app that
// has moved away is not this server's to change: that is a CodeConflict error.
func (p *Platform) lock(ctx context.Context, app string) (func(), error) {
	unlock, err := p.lockAny(ctx, app)
	return p.lockedHere(app, unlock, err)
}

// lockAny is lock for an app that may be another server's.
func (p *Platform) lockAny(ctx context.Context, app string) (func(), error) {
	unlock, err := p.locks.acquire(ctx, app, false, nil)
	return p.settled(ctx, app, unlock, err)
}

func (p *Platform) lockedHere(app string, unlock func(), err error) (func(), error) {
	if err != nil {
		return nil, err
	}
	if err := p.here(app); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// lockForDeploy is lock for a deploy: while it waits, a newer deploy of the
// app takes its place, and it fails with a CodeCanceled error.
func (p *Platform) lockForDeploy(ctx context.Context, app string, out hop3.Output) (func(), error) {
	unlock, err := p.locks.acquire(ctx, app, true, out)
	unlock, err = p.settled(ctx, app, unlock, err)
	return p.lockedHere(app, unlock, err)
}

func (l *locks) acquire(ctx context.Context, app string, deploy bool, out hop3.Output) (func(), error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	l.mu.Lock()
	if l.apps == nil {
		l.apps = map[string]*appLock{}
	}
	a := l.apps[app]
	if a == nil {
		a = &appLock{slot: make(chan struct{}, 1)}
		l.apps[app] = a
	}
	a.users++
	select {
	case a.slot <- struct{}{}:
		l.mu.Unlock()
		return l.releaser(app, a), nil
	default:
	}
	if deploy {
		if a.deploy != nil {
			a.deploy(hop3.Errorf(hop3.CodeCanceled, "superseded by a newer deploy of '%s'", app))
		}
		a.deploy = cancel
	}
	l.mu.Unlock()

	if out != nil {
		say(out, "-----> Waiting: another change of '%s' is under way", app)
	}
	select {
	case a.slot <- struct{}{}:
		l.mu.Lock()
		if deploy {
			// Only the newest waiting deploy is registered, and this one just
			// got through: none of its kind waits any more unless it came
			// later and replaced us, in which case our context has ended.
			if ctx.Err() == nil {
				a.deploy = nil
			}
		}
		l.mu.Unlock()
		if err := ctx.Err(); err != nil {
			l.releaser(app, a)()
			return nil, canceled(ctx)
		}
		return l.releaser(app, a), nil
	case <-ctx.Done():
		l.mu.Lock()
		l.drop(app, a)
		l.mu.Unlock()
		return nil, canceled(ctx)
	}
}

func (l *locks) releaser(app string, a *appLock) func() {
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		<-a.slot
		l.drop(app, a)
	})
}

// drop forgets one user of the lock. l.mu is held.
func (l *locks) drop(app string, a *appLock) {
	if a.users--; a.users == 0 {
		delete(l.apps, app)
	}
}

// canceled turns the end of a context into an error for a user.
func canceled(ctx context.Context) error {
	cause := context.Cause(ctx)
	if hop3.CodeOf(cause) == hop3.CodeCanceled {
		return cause
	}
	why := cause.Error()
	if errors.Is(cause, context.Canceled) {
		why = "who asked for it has left"
	}
	return &hop3.Error{Code: hop3.CodeCanceled, Message: "canceled: " + why, Err: cause}
}
