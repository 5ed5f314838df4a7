package platform

import (
	"context"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// changes are the deploys, and other makings of a release, that are under way
// and can still be canceled.
type changes struct {
	mu   sync.Mutex
	apps map[string]*underway
}

// underway is one of them. There is at most one for each app: whoever makes a
// release holds the app's lock.
type underway struct {
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed at the end
	err     error         // how it ended; read after done
	release int           // 0 before it has a number
}

// cancelable returns a context for making a release, which CancelDeploy ends,
// and Interrupt. The returned function is called at the end, with the outcome.
func (p *Platform) cancelable(ctx context.Context, app string) (context.Context, *underway, func(error)) {
	ctx, stop := p.interruptible(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	u := &underway{cancel: cancel, done: make(chan struct{})}
	p.changes.mu.Lock()
	if p.changes.apps == nil {
		p.changes.apps = map[string]*underway{}
	}
	p.changes.apps[app] = u
	p.changes.mu.Unlock()
	return ctx, u, func(err error) {
		u.err = err
		p.changes.mu.Lock()
		delete(p.changes.apps, app)
		p.changes.mu.Unlock()
		close(u.done)
		cancel(nil)
		stop()
	}
}

// numbered notes which release is being made.
func (p *Platform) numbered(u *underway, release int) {
	p.changes.mu.Lock()
	u.release = release
	p.changes.mu.Unlock()
}

// CancelDeploy ends what is under way to make a release of an app, and a deploy
// that waits for its turn. It returns once everything that was started for it
// is gone, with the number of the release, 0 if it had none. When there is
// nothing to cancel, or it was too late, that is a CodeConflict error.
func (p *Platform) CancelDeploy(ctx context.Context, who Actor, app string) (int, error) {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return 0, err
	}
	why := hop3.Errorf(hop3.CodeCanceled, "canceled by %s", who.Username)
	waiting := p.locks.cancelWaiting(app, why)
	p.changes.mu.Lock()
	u := p.changes.apps[app]
	release := 0
	if u != nil {
		release = u.release
		u.cancel(why)
	}
	if u != nil || waiting {
		p.happened(event(ctx, hop3.EventDeployCanceled, app, "%s asked to cancel the deploy", who.Username))
	}
	p.changes.mu.Unlock()
	if u == nil {
		if waiting {
			return 0, nil
		}
		return 0, hop3.Errorf(hop3.CodeConflict, "No deploy of '%s' is under way.", app)
	}
	select {
	case <-u.done:
	case <-ctx.Done():
		return release, context.Cause(ctx)
	}
	if u.err == nil {
		return release, hop3.Errorf(hop3.CodeConflict, "It was too late to cancel: v%d of '%s' is live.", release, app).
			WithHint("`hop3 rollback --app %s` goes back.", app)
	}
	return release, nil
}

// cancelWaiting ends the wait of the deploy that waits for an app's lock, and
// reports whether there was one.
func (l *locks) cancelWaiting(app string, why error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.apps[app]
	if a == nil || a.deploy == nil {
		return false
	}
	a.deploy(why)
	a.deploy = nil
	return true
}
