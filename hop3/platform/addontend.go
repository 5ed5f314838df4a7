package platform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// addonsEvery is how often what is left of the making, removing and rotating of
// addons is tried again.
const addonsEvery = time.Minute

// tendAddons completes what a crash, or a service that did not answer, left of
// the changes of addons: now, and again until ctx ends.
func (p *Platform) tendAddons(ctx context.Context) {
	tend := func() {
		p.guard("tending the addons", func() {
			if err := p.settleAddons(ctx); err != nil && ctx.Err() == nil {
				p.Logger.Warn("completing the changes of addons; it is tried again", zap.Error(err))
			}
		})
	}
	if err := p.openExposed(ctx); err != nil {
		p.Logger.Error("exposing addons", zap.Error(err))
	}
	tend()
	every(ctx, addonsEvery, tend)
}

// settleAddons removes the addons that are half made or half gone, resumes
// rotations, and brings the apps up to what is attached to them. What somebody
// works on at the moment is left to them.
func (p *Platform) settleAddons(ctx context.Context) error {
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return err
	}
	for _, provider := range p.Providers {
		p.restShared(ctx, provider)
	}
	if len(addons) == 0 {
		return nil
	}
	for _, a := range addons {
		if a.Status == hop3.AddonReady && a.Next == nil && a.Last == nil {
			continue
		}
		if e := p.settleAddon(ctx, a.ID()); e != nil {
			err = errors.Join(err, fmt.Errorf("the addon %s: %w", a.ID(), e))
		}
	}
	list, e := p.Store.Attachments(ctx)
	if e != nil {
		return errors.Join(err, e)
	}
	seen := map[string]bool{}
	for _, at := range list {
		if seen[at.App] {
			continue
		}
		seen[at.App] = true
		if e := p.syncLeft(ctx, at.App); e != nil {
			err = errors.Join(err, fmt.Errorf("app '%s': %w", at.App, e))
		}
	}
	return err
}

func (p *Platform) settleAddon(ctx context.Context, id hop3.AddonID) error {
	unlock, err := p.lockAddon(ctx, id)
	if err != nil {
		return err
	}
	defer func() { unlock() }()
	a, err := p.Store.Addon(ctx, id)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		return nil // somebody was faster
	}
	if err != nil {
		return err
	}
	provider, err := p.provider(id.Type)
	if err != nil {
		return err
	}
	if a.Status != hop3.AddonReady {
		return p.removeAddon(ctx, knownAddon{a, provider})
	}
	unlock()
	unlock = func() {}
	if a.Next == nil && a.Last == nil {
		return nil
	}
	return p.rotate(ctx, Actor{}, id, hop3.Discard)
}

// syncLeft brings one app up to its attachments, where a crash came in
// between. An app that cannot be started with them is not tried for ever: its
// live release is remembered.
func (p *Platform) syncLeft(ctx context.Context, name string) error {
	app, err := p.Store.App(ctx, name)
	if err != nil || app.Live == 0 || p.addonsTried.is(name, app.Live) {
		return err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return err
	}
	_, _, differ, err := p.withAddons(ctx, live)
	if err != nil || !differ {
		return err
	}
	p.addonsTried.note(name, app.Live)
	return p.syncApp(ctx, Actor{}, name, hop3.Discard)
}
