package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// AddonStore is the part of the store that knows the addons. Look-ups of what
// does not exist return a CodeNotFound error.
type AddonStore interface {
	Addons(ctx context.Context) ([]hop3.Addon, error) // ordered by name and type
	Addon(ctx context.Context, id hop3.AddonID) (hop3.Addon, error)
	CreateAddon(ctx context.Context, a hop3.Addon, events ...hop3.Event) error // CodeConflict
	UpdateAddon(ctx context.Context, id hop3.AddonID, change func(*hop3.Addon) error, events ...hop3.Event) (hop3.Addon, error)
	// RetireAddon makes an addon's status AddonDestroying; it returns a
	// CodeConflict error that names the apps it is attached to.
	RetireAddon(ctx context.Context, id hop3.AddonID, events ...hop3.Event) (hop3.Addon, error)
	DeleteAddon(ctx context.Context, id hop3.AddonID, events ...hop3.Event) error

	Attachments(ctx context.Context) ([]hop3.Attachment, error) // ordered by app and age
	AttachmentsOf(ctx context.Context, app string) ([]hop3.Attachment, error)
	// SetAttachments makes list all that is attached to an app. Every addon of
	// it must be ready: else CodeConflict.
	SetAttachments(ctx context.Context, app string, list []hop3.Attachment, events ...hop3.Event) error
}

// provider returns the provider of a type, by one of its names, or a
// CodeInvalid error that lists them.
func (p *Platform) provider(kind string) (hop3.AddonProvider, error) {
	var types []string
	for _, provider := range p.Providers {
		if provider.Name() == kind {
			return provider, nil
		}
		types = append(types, provider.Name())
	}
	return nil, hop3.Errorf(hop3.CodeInvalid, "%.60q is no type of addon", kind).
		WithHint("This server has: %s.", strings.Join(types, ", "))
}

// addonSynonyms are what people call a type elsewhere.
var addonSynonyms = map[string]string{"postgresql": "postgres", "pg": "postgres", "mariadb": "mysql", "valkey": "redis", "minio": "s3", "smtp": "email", "mail": "email"}

// addonType returns the type that people mean.
func addonType(kind string) string {
	kind = strings.ToLower(kind)
	if t := addonSynonyms[kind]; t != "" {
		return t
	}
	return kind
}

// lockAddon waits until nothing else changes an addon. It may be called with
// an app locked; with an addon locked no app is.
func (p *Platform) lockAddon(ctx context.Context, id hop3.AddonID) (func(), error) {
	return p.locks.acquire(ctx, "addon "+id.Type+" "+id.Name, false, nil)
}

// CreateAddon makes an addon, which belongs to the team that the actor's apps
// belong to. One whose making was interrupted is completed.
func (p *Platform) CreateAddon(ctx context.Context, who Actor, req hop3.AddonRequest, out hop3.Output) (hop3.Addon, error) {
	team, err := p.teamForNew(ctx, who, req.Name)
	if err != nil {
		return hop3.Addon{}, err
	}
	a, _, err := p.makeAddon(asked(ctx, who), req, hop3.Addon{Team: team, CreatedBy: who.Username}, out)
	return a.withoutSecrets(), err
}

// makeAddon makes an addon of what req asks for and whose owner is; created is
// false when it returns one that there was. Nothing is left when it fails.
func (p *Platform) makeAddon(ctx context.Context, req hop3.AddonRequest, owner hop3.Addon, out hop3.Output) (made knownAddon, created bool, err error) {
	req.Type = addonType(req.Type)
	provider, err := p.provider(req.Type)
	if err != nil {
		return knownAddon{}, false, err
	}
	if err := hop3.ValidateAddonName(req.Name); err != nil {
		return knownAddon{}, false, err
	}
	a := owner
	a.Type, a.Name, a.Dedicated, a.Options, a.Details = req.Type, req.Name, req.Dedicated, req.Options, req.Secrets
	unlock, err := p.lockAddon(ctx, a.ID())
	if err != nil {
		return knownAddon{}, false, err
	}
	defer unlock()
	old, err := p.Store.Addon(ctx, a.ID())
	switch {
	case err == nil && old.Status == hop3.AddonReady:
		return knownAddon{old, provider}, false, hop3.Errorf(hop3.CodeConflict, "There is an addon %s already.", a.ID())
	case err == nil:
		if err := p.removeAddon(ctx, knownAddon{old, provider}); err != nil {
			return knownAddon{}, false, err
		}
	case hop3.CodeOf(err) != hop3.CodeNotFound:
		return knownAddon{}, false, err
	}
	say(out, "-----> Creating the addon %s", a.ID())
	if a, err = p.planAddon(ctx, provider, a); err != nil {
		return knownAddon{}, false, err
	}
	known := knownAddon{a, provider}
	if err := provider.Create(ctx, a); err != nil {
		ctx := context.WithoutCancel(ctx)
		if undo := p.removeAddon(ctx, known, addonEvent(ctx, hop3.EventAddonFailed, known.ID(), "", "the addon %s could not be made: %s", a.ID(), hop3.MessageOf(err))); undo != nil {
			p.Logger.Warn("removing a half-made addon; it is tried again", zap.Stringer("addon", a.ID()), zap.Error(undo))
		}
		return knownAddon{}, false, err
	}
	known.Addon, err = p.Store.UpdateAddon(context.WithoutCancel(ctx), a.ID(), func(a *hop3.Addon) error {
		a.Status = hop3.AddonReady
		return nil
	}, addonEvent(ctx, hop3.EventAddonCreated, a.ID(), owner.App, "the addon %s was made", a.ID()))
	return known, true, err
}

// removeAddon removes what there is of an addon that is not ready, and forgets
// it. The addon is locked by the caller.
func (p *Platform) removeAddon(ctx context.Context, a knownAddon, events ...hop3.Event) error {
	for _, details := range []hop3.AddonDetails{a.Details, a.Next, a.Last} { // a rotation may be under way
		one := a.Addon
		if one.Details = details; details == nil {
			continue
		}
		if err := a.provider.Destroy(ctx, one); err != nil {
			return fmt.Errorf("removing the addon %s: %w", a.ID(), err)
		}
	}
	if err := p.Store.DeleteAddon(ctx, a.ID(), events...); err != nil {
		return err
	}
	p.restShared(ctx, a.provider)
	return nil
}

// DestroyAddon destroys an addon with the data in it. While it is attached to
// an app, that is a CodeConflict error.
func (p *Platform) DestroyAddon(ctx context.Context, who Actor, id hop3.AddonID, out hop3.Output) error {
	if a, err := p.addon(ctx, who, id, hop3.RoleDeployer); err != nil {
		return err
	} else if a.lent {
		return hop3.Errorf(hop3.CodeForbidden, "You may use the addon %s, and not destroy it.", id).
			WithHint("A deployer of the team '%s' may.", a.Team)
	}
	say(out, "-----> Destroying the addon %s", id)
	return p.destroyAddon(asked(ctx, who), id)
}

// destroyAddon is DestroyAddon for who was asked already.
func (p *Platform) destroyAddon(ctx context.Context, id hop3.AddonID) error {
	unlock, err := p.lockAddon(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := p.Store.RetireAddon(ctx, id)
	if err != nil {
		return err
	}
	provider, err := p.provider(id.Type)
	if err != nil {
		return err
	}
	if a.Exposed != nil && p.Exposer != nil {
		p.Exposer.Close(id)
	}
	// From here on it is going: an error leaves the rest to tendAddons.
	ctx = context.WithoutCancel(ctx)
	return p.removeAddon(ctx, knownAddon{a, provider}, addonEvent(ctx, hop3.EventAddonDestroyed, id, a.App, "the addon %s was destroyed", id))
}

// retireOwnAddons begins to destroy the addons that a preview has for itself:
// they go with it, or, when the server ends in between, at its next start.
func (p *Platform) retireOwnAddons(ctx context.Context, app string) error {
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return err
	}
	if err := p.Store.SetAttachments(ctx, app, nil); err != nil {
		return err
	}
	for _, a := range addons {
		if a.App != app {
			continue
		}
		if _, e := p.Store.RetireAddon(ctx, a.ID()); hop3.CodeOf(e) != hop3.CodeConflict { // another app has it by now
			err = errors.Join(err, e)
		}
	}
	return err
}

// tellKept says which addons an app that is destroyed leaves.
func (p *Platform) tellKept(ctx context.Context, app string, out hop3.Output) {
	list, err := p.Store.AttachmentsOf(ctx, app)
	if err != nil {
		return // it is a courtesy
	}
	for _, at := range list {
		say(out, "       The addon %s is kept with its data: `hop3 addon destroy %s --type %s` destroys it", at.Addon(), at.Name, at.Type)
	}
}

// destroyOwnAddons destroys the addons that were made for an app that is no
// more: a preview, or one whose first deploy failed.
func (p *Platform) destroyOwnAddons(ctx context.Context, app string) error {
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return err
	}
	for _, a := range addons {
		if a.App == app {
			e := p.destroyAddon(ctx, a.ID())
			if hop3.CodeOf(e) == hop3.CodeConflict {
				continue // another app has it by now
			}
			err = errors.Join(err, e)
		}
	}
	return err
}

// AddonTypes returns the providers of addons that the server has, none of no
// server.
func (p *Platform) AddonTypes() []hop3.AddonProvider {
	if p == nil {
		return nil
	}
	return slices.Clone(p.Providers)
}

// addonEvent is an event of an addon.
func addonEvent(ctx context.Context, kind hop3.EventKind, id hop3.AddonID, app, format string, args ...any) hop3.Event {
	e := event(ctx, kind, app, format, args...)
	e.Data = map[string]string{"addon": id.Name, "type": id.Type}
	return e
}
