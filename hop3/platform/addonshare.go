package platform

import (
	"context"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// addonPlans counts the plans of addons under way, by type: what they are going
// to share must not rest.
type addonPlans struct {
	mu   sync.Mutex
	kind map[string]int
}

func (a *addonPlans) add(kind string, n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kind == nil {
		a.kind = map[string]int{}
	}
	a.kind[kind] += n
	return a.kind[kind]
}

// lockShared keeps what addons of a type share from being started or ended by
// somebody else.
func (p *Platform) lockShared(ctx context.Context, kind string) (func(), error) {
	return p.locks.acquire(ctx, "shared by addons "+kind, false, nil)
}

// planAddon settles what an addon is made of, and writes that down. What it
// shares with others runs from here on: it is in the database that it is
// needed, or, when this fails, rests again.
func (p *Platform) planAddon(ctx context.Context, provider hop3.AddonProvider, a hop3.Addon) (hop3.Addon, error) {
	unlock, err := p.lockShared(ctx, a.Type)
	if err != nil {
		return a, err
	}
	p.addonPlans.add(a.Type, 1)
	unlock() // plans may be made beside each other
	if a.Details, err = provider.Plan(ctx, a); err == nil {
		a.Status = hop3.AddonCreating
		err = p.Store.CreateAddon(ctx, a)
	}
	p.addonPlans.add(a.Type, -1)
	if err != nil {
		p.restShared(context.WithoutCancel(ctx), provider)
	}
	return a, err
}

// restShared ends what the addons of a type share, where there are none left
// that are in it. It is tried again each time that addons are tended, also
// after a crash; so what fails is only logged.
func (p *Platform) restShared(ctx context.Context, provider hop3.AddonProvider) {
	sharer, ok := provider.(hop3.AddonSharer)
	if !ok {
		return
	}
	if err := p.endShared(ctx, sharer, provider.Name()); err != nil && ctx.Err() == nil {
		p.Logger.Warn("ending a service that no addon is in; it is tried again", zap.String("type", provider.Name()), zap.Error(err))
	}
}

func (p *Platform) endShared(ctx context.Context, sharer hop3.AddonSharer, kind string) error {
	unlock, err := p.lockShared(ctx, kind)
	if err != nil {
		return err
	}
	defer unlock()
	if p.addonPlans.add(kind, 0) > 0 {
		return nil // an addon is about to be in it
	}
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return err
	}
	return sharer.Rest(ctx, slices.DeleteFunc(addons, func(a hop3.Addon) bool { return a.Type != kind }))
}
