package platform

import (
	"context"
	"fmt"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// RotateAddon gives an addon other credentials, and them to the apps that have
// it, each by a new release, while the old ones go on working. Only then those
// end. An interrupted rotation is completed by the next call, and by the
// server by itself.
func (p *Platform) RotateAddon(ctx context.Context, who Actor, id hop3.AddonID, out hop3.Output) error {
	a, err := p.readyAddon(ctx, who, id, hop3.RoleDeployer)
	if err != nil {
		return err
	}
	if _, ok := a.provider.(hop3.AddonRotator); !ok {
		return hop3.Errorf(hop3.CodeInvalid, "The credentials of %s addons cannot be rotated.", id.Type)
	}
	if err := p.rotate(asked(ctx, who), who, id, out); err != nil {
		return hop3.Errorf(hop3.CodeOf(err), "rotating the addon %s: %w", id, err).
			WithHint("Both the old credentials and the new ones work. `hop3 addon rotate %s` goes on with it.", id.Name)
	}
	return nil
}

// rotate goes on with the rotation of a ready addon from where it is, or begins
// one. The addon is not locked while apps get the new credentials: a deploy of
// one may wait for the addon. Two rotations at once are one.
func (p *Platform) rotate(ctx context.Context, who Actor, id hop3.AddonID, out hop3.Output) error {
	if err := p.beginRotation(ctx, id, out); err != nil {
		return err
	}
	list, err := p.Store.Attachments(ctx)
	if err != nil {
		return err
	}
	for _, at := range list {
		if at.Addon() != id {
			continue
		}
		say(out, "-----> Giving '%s' the new credentials", at.App)
		if err := p.syncApp(ctx, who, at.App, out); err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
			return fmt.Errorf("app '%s': %w", at.App, err)
		}
	}
	for _, at := range list {
		// What still answers on an old release may ask for another connection.
		if at.Addon() == id {
			if err := p.running.awaitDrains(ctx, at.App); err != nil {
				return err
			}
		}
	}
	return p.endRotation(ctx, id, out)
}

// beginRotation makes new credentials valid beside the old, and then those
// that apps get.
func (p *Platform) beginRotation(ctx context.Context, id hop3.AddonID, out hop3.Output) error {
	unlock, err := p.lockAddon(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := p.rotating(ctx, id)
	if err != nil || a.Last != nil {
		return err
	}
	if a.Next == nil {
		next, err := a.rotator.Rotated(ctx, a.Addon)
		if err != nil {
			return err
		}
		if a.Addon, err = p.Store.UpdateAddon(ctx, id, func(a *hop3.Addon) error {
			a.Next = next
			return nil
		}); err != nil {
			return err
		}
	}
	say(out, "-----> Making new credentials of the addon %s", id)
	planned := a.Addon
	planned.Details = a.Next
	if err := a.provider.Create(ctx, planned); err != nil {
		return err
	}
	_, err = p.Store.UpdateAddon(ctx, id, func(a *hop3.Addon) error {
		a.Details, a.Last, a.Next = a.Next, a.Details, nil
		return nil
	})
	return err
}

// endRotation ends the old credentials: every app has the new ones.
func (p *Platform) endRotation(ctx context.Context, id hop3.AddonID, out hop3.Output) error {
	unlock, err := p.lockAddon(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := p.rotating(ctx, id)
	if err != nil || a.Last == nil {
		return err
	}
	say(out, "-----> Ending the old credentials")
	if err := a.rotator.Revoke(ctx, a.Addon, a.Last); err != nil {
		return err
	}
	_, err = p.Store.UpdateAddon(ctx, id, func(a *hop3.Addon) error {
		a.Last = nil
		return nil
	}, addonEvent(ctx, hop3.EventAddonRotated, id, "", "the addon %s and its apps have other credentials", id))
	return err
}

// rotatingAddon is an addon whose credentials can be rotated.
type rotatingAddon struct {
	knownAddon
	rotator hop3.AddonRotator
}

func (p *Platform) rotating(ctx context.Context, id hop3.AddonID) (rotatingAddon, error) {
	a, err := p.Store.Addon(ctx, id)
	if err != nil {
		return rotatingAddon{}, err
	}
	provider, err := p.provider(id.Type)
	if err != nil {
		return rotatingAddon{}, err
	}
	rotator, ok := provider.(hop3.AddonRotator)
	if !ok || a.Status != hop3.AddonReady {
		return rotatingAddon{}, hop3.Errorf(hop3.CodeConflict, "the addon %s is %s and cannot be rotated", id, a.Status)
	}
	return rotatingAddon{knownAddon{a, provider}, rotator}, nil
}

// triedReleases remembers what was tried once: a release for each app.
type triedReleases struct {
	mu       sync.Mutex
	releases map[string]int
}

func (t *triedReleases) is(app string, release int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.releases[app] == release
}

func (t *triedReleases) note(app string, release int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.releases == nil {
		t.releases = map[string]int{}
	}
	t.releases[app] = release
}
