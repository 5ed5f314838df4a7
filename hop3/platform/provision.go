package platform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// provision makes and attaches the addons that a manifest declares. It is part
// of a deploy of the app, which is locked.
func (p *Platform) provision(ctx context.Context, who Actor, app hop3.App, requests []hop3.AddonRequest, out hop3.Output) error {
	for _, req := range requests {
		req.Type = addonType(req.Type)
		if req.Name == "" {
			req.Name = ownAddonName(app.Name, req.Type)
		} else if app.Preview != nil {
			req.Name = ownAddonName(app.Name, req.Name) // never its parent's data
		}
		if err := p.provisionOne(ctx, who, app, req, out); err != nil {
			return fmt.Errorf("[[addons]] %s '%s': %w", req.Type, req.Name, err)
		}
	}
	return nil
}

// ownAddonName is the name of an addon that an app has for itself. Where that is
// longer than a name can be, what is cut off is told apart by its hash.
func ownAddonName(app, suffix string) string {
	const most = 63
	name := app + "-" + suffix
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:most-9] + "-" + hex.EncodeToString(sum[:4])
}

func (p *Platform) provisionOne(ctx context.Context, who Actor, app hop3.App, req hop3.AddonRequest, out hop3.Output) error {
	id := hop3.AddonID{Type: req.Type, Name: req.Name}
	list, err := p.Store.AttachmentsOf(ctx, app.Name)
	if err != nil {
		return err
	}
	if !attachedTo(list, id, app.Name) && restoredFor(list, req) {
		return nil
	}
	a, created, err := p.makeAddon(ctx, req, hop3.Addon{Team: app.Team, CreatedBy: who.Username, App: app.Name}, out)
	if err != nil && a.Status != hop3.AddonReady {
		return err
	}
	if !created && a.App != app.Name && !attachedTo(list, id, app.Name) {
		if _, err := p.addon(ctx, who, id, hop3.RoleDeployer); err != nil {
			return hop3.Errorf(hop3.CodeForbidden, "there is an addon of this name, and you may not use it").
				WithHint("Choose another name, or ask for `hop3 addon attach %s --app %s`.", req.Name, app.Name)
		}
	}
	if !created && !equalOptions(a.Options, req.Options) {
		if err := p.changeOptions(ctx, a, req.Options); err != nil {
			return err
		}
	}
	if attachedTo(list, id, app.Name) {
		return nil
	}
	say(out, "-----> Attaching the addon %s", id)
	err = p.Store.SetAttachments(ctx, app.Name, withAttachment(list, hop3.Attachment{App: app.Name, Type: id.Type, Name: id.Name}),
		addonEvent(ctx, hop3.EventAddonAttached, id, app.Name, "the addon %s was attached to '%s'", id, app.Name))
	if err != nil && created { // nobody has had it
		if undo := p.destroyAddon(context.WithoutCancel(ctx), id); undo != nil {
			p.Logger.Warn("removing an addon that could not be attached", zap.Stringer("addon", id), zap.Error(undo))
		}
	}
	return err
}

// changeOptions has an addon get what is asked for now: other extensions.
func (p *Platform) changeOptions(ctx context.Context, a knownAddon, options map[string][]string) error {
	unlock, err := p.lockAddon(ctx, a.ID())
	if err != nil {
		return err
	}
	defer unlock()
	wanted := a.Addon
	wanted.Options = options
	if _, err := a.provider.Plan(ctx, wanted); err != nil { // are they allowed?
		return err
	}
	if err := a.provider.Create(ctx, wanted); err != nil {
		return err
	}
	_, err = p.Store.UpdateAddon(ctx, a.ID(), func(a *hop3.Addon) error {
		a.Options = options
		return nil
	})
	return err
}

func equalOptions(a, b map[string][]string) bool {
	return maps.EqualFunc(a, b, slices.Equal[[]string])
}

// retireUnattached begins to remove what an interrupted deploy of an app had made
// and not attached yet: tendAddons does the rest. That is an addon which was made
// for this app after the deploy had begun, and which no app has; and only where
// the app never had a live release, and so no data.
func (p *Platform) retireUnattached(ctx context.Context, interrupted hop3.Release, releases []hop3.Release) error {
	if slices.ContainsFunc(releases, func(r hop3.Release) bool { return !r.LiveAt.IsZero() }) {
		return nil
	}
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return err
	}
	for _, a := range addons {
		if a.App != interrupted.App || a.Status != hop3.AddonReady || a.CreatedAt.Before(interrupted.CreatedAt) {
			continue
		}
		_, e := p.Store.RetireAddon(ctx, a.ID(), addonEvent(ctx, hop3.EventAddonDestroyed, a.ID(), a.App, "the addon %s goes: the deploy that made it was interrupted", a.ID()))
		if hop3.CodeOf(e) != hop3.CodeConflict { // an app has it
			err = errors.Join(err, e)
		}
	}
	return err
}

// unprovision destroys what a deploy made for an app that there is no more.
func (p *Platform) unprovision(ctx context.Context, app string) {
	if _, err := p.Store.App(ctx, app); hop3.CodeOf(err) != hop3.CodeNotFound {
		return
	}
	if err := p.destroyOwnAddons(ctx, app); err != nil {
		p.Logger.Warn("destroying the addons of an app that is no more; it is tried again", zap.String("app", app), zap.Error(err))
	}
}
