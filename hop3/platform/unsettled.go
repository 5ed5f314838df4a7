package platform

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// unsettled are the apps whose last deploy has ended otherwise than the
// database says, because it could not be told: its disk was full, say. Repair
// tells it, and so does the next start.
type unsettled struct {
	mu   sync.Mutex
	apps map[string]bool
}

func (u *unsettled) note(app string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.apps == nil {
		u.apps = map[string]bool{}
	}
	u.apps[app] = true
}

func (u *unsettled) has(app string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.apps[app]
}

func (u *unsettled) drop(app string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.apps, app)
}

// settle brings an unsettled app to where a start would, unless it is being
// changed: repair comes by again.
func (p *Platform) settle(ctx context.Context, name string) error {
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
	return p.settleLocked(ctx, name)
}

// settled settles an app, if need be, for who has just taken its lock: what is
// to be changed has to be known. It gives the lock back when that fails.
func (p *Platform) settled(ctx context.Context, name string, unlock func(), err error) (func(), error) {
	if err != nil || !p.unsettled.has(name) {
		return unlock, err
	}
	unlockRunning, err := p.lockRunning(ctx, name)
	if err == nil {
		err = p.settleLocked(ctx, name)
		unlockRunning()
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("settling the last deploy of '%s': %w", name, err)
	}
	return unlock, nil
}

func (p *Platform) settleLocked(ctx context.Context, name string) error {
	p.unsettled.drop(name) // what fails notes it again
	app, err := p.Store.App(ctx, name)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		return nil
	}
	if err == nil {
		_, err = p.settleDeploys(ctx, app)
	}
	if err = errors.Join(err, p.removeStrayDirs(ctx, name)); err != nil {
		p.unsettled.note(name)
	}
	return err
}
