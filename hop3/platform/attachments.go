package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// AttachmentChange is what attaching or detaching an addon did.
type AttachmentChange struct {
	Addon     hop3.AddonID
	Variables []string // that the app has of the addon now, or had, in order
	Primary   bool
	Release   int // the new live release; 0 when nothing runs
}

// AttachAddon gives an app the variables of an addon: without a prefix for the
// first of a type and for one that is made primary. A running app gets them at
// once, by a new release; when that does not become ready, all is as before.
func (p *Platform) AttachAddon(ctx context.Context, who Actor, app string, id hop3.AddonID, primary bool, out hop3.Output) (AttachmentChange, error) {
	if err := p.mayAttach(ctx, who, app, id); err != nil {
		return AttachmentChange{}, err
	}
	attached := addonEvent(asked(ctx, who), hop3.EventAddonAttached, id, app, "the addon %s was attached to '%s'", id, app)
	return p.changeAttachments(ctx, who, app, id, func(list []hop3.Attachment) ([]hop3.Attachment, error) {
		if attachedTo(list, id, app) {
			return nil, hop3.Errorf(hop3.CodeConflict, "The addon %s is attached to '%s' already.", id, app)
		}
		return withAttachment(list, hop3.Attachment{App: app, Type: id.Type, Name: id.Name, Primary: primary}), nil
	}, out, attached)
}

// PromoteAddon makes an addon the primary one of its type that an app has.
func (p *Platform) PromoteAddon(ctx context.Context, who Actor, app string, id hop3.AddonID, out hop3.Output) (AttachmentChange, error) {
	if err := p.mayAttach(ctx, who, app, id); err != nil {
		return AttachmentChange{}, err
	}
	promoted := addonEvent(asked(ctx, who), hop3.EventAddonAttached, id, app, "the addon %s is the primary one of '%s'", id, app)
	return p.changeAttachments(ctx, who, app, id, func(list []hop3.Attachment) ([]hop3.Attachment, error) {
		if !attachedTo(list, id, app) {
			return nil, notAttached(id, app)
		}
		return promote(list, id), nil
	}, out, promoted)
}

// DetachAddon takes the variables of an addon from an app. The data stay.
func (p *Platform) DetachAddon(ctx context.Context, who Actor, app string, id hop3.AddonID, out hop3.Output) (AttachmentChange, error) {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return AttachmentChange{}, err
	}
	detached := addonEvent(asked(ctx, who), hop3.EventAddonDetached, id, app, "the addon %s was detached from '%s'", id, app)
	return p.changeAttachments(ctx, who, app, id, func(list []hop3.Attachment) ([]hop3.Attachment, error) {
		if !attachedTo(list, id, app) {
			return nil, notAttached(id, app)
		}
		return withoutAttachment(list, id), nil
	}, out, detached)
}

func notAttached(id hop3.AddonID, app string) error {
	return hop3.Errorf(hop3.CodeNotFound, "The addon %s is not attached to '%s'.", id, app)
}

func (p *Platform) mayAttach(ctx context.Context, who Actor, app string, id hop3.AddonID) error {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return err
	}
	_, err := p.readyAddon(ctx, who, id, hop3.RoleDeployer)
	return err
}

// withAttachment adds an attachment. The first of a type is primary.
func withAttachment(list []hop3.Attachment, at hop3.Attachment) []hop3.Attachment {
	list = append(slices.Clone(list), at)
	if at.Primary {
		return promote(list, at.Addon())
	}
	return withPrimary(list, at.Type)
}

// promote makes one attachment the primary one of its type.
func promote(list []hop3.Attachment, id hop3.AddonID) []hop3.Attachment {
	list = slices.Clone(list)
	for i := range list {
		if list[i].Type == id.Type {
			list[i].Primary = list[i].Name == id.Name
		}
	}
	return list
}

// withoutAttachment takes one away. Was it primary, the oldest of its type is.
func withoutAttachment(list []hop3.Attachment, id hop3.AddonID) []hop3.Attachment {
	list = slices.DeleteFunc(slices.Clone(list), func(at hop3.Attachment) bool { return at.Addon() == id })
	return withPrimary(list, id.Type)
}

// withPrimary sees to it that one of a type is primary, the oldest where none
// is.
func withPrimary(list []hop3.Attachment, kind string) []hop3.Attachment {
	first := -1
	for i, at := range list {
		if at.Type != kind {
			continue
		}
		if at.Primary {
			return list
		}
		if first < 0 {
			first = i
		}
	}
	if first >= 0 {
		list[first].Primary = true
	}
	return list
}

// changeAttachments changes what is attached to an app, and what runs of it.
// What is stored comes first: when the server ends in between, tendAddons
// brings the app up to it. When the app does not start with it, both are as
// before.
func (p *Platform) changeAttachments(ctx context.Context, who Actor, app string, id hop3.AddonID, change func([]hop3.Attachment) ([]hop3.Attachment, error), out hop3.Output, events ...hop3.Event) (AttachmentChange, error) {
	unlock, err := p.lock(ctx, app)
	if err != nil {
		return AttachmentChange{}, err
	}
	defer unlock()
	before, err := p.Store.AttachmentsOf(ctx, app)
	if err != nil {
		return AttachmentChange{}, err
	}
	after, err := change(before)
	if err != nil {
		return AttachmentChange{}, err
	}
	shown := after
	if !attachedTo(after, id, app) {
		shown = before
	}
	result := AttachmentChange{Addon: id}
	if result.Variables, result.Primary, err = p.variablesOf(ctx, shown, id); err != nil {
		return AttachmentChange{}, err
	}
	if err := p.Store.SetAttachments(ctx, app, after, events...); err != nil {
		return AttachmentChange{}, err
	}
	release, err := p.syncAddons(ctx, who, app, out)
	if err != nil {
		return AttachmentChange{}, errors.Join(err, p.Store.SetAttachments(context.WithoutCancel(ctx), app, before))
	}
	result.Release = release
	return result, nil
}

// variablesOf returns the names of the variables that an app of these
// attachments has of one of them.
func (p *Platform) variablesOf(ctx context.Context, list []hop3.Attachment, id hop3.AddonID) (names []string, primary bool, err error) {
	given, err := p.addonVariables(ctx, list)
	if err != nil {
		return nil, false, err
	}
	for name, v := range given {
		if v.from.Addon() == id {
			names, primary = append(names, name), v.from.Primary
		}
	}
	slices.Sort(names)
	return names, primary, nil
}

// addonVariable is a variable that an app has of an addon.
type addonVariable struct {
	value string
	from  hop3.Attachment
}

// addonVariables returns the variables that an app of these attachments has of
// them. Where two give the same one, as DATABASE_URL of PostgreSQL and MySQL,
// the older has it, and the other one's has its prefix.
func (p *Platform) addonVariables(ctx context.Context, list []hop3.Attachment) (map[string]addonVariable, error) {
	given := map[string]addonVariable{}
	for _, at := range list {
		a, err := p.Store.Addon(ctx, at.Addon())
		if err != nil {
			return nil, err
		}
		provider, err := p.provider(a.Type)
		if err != nil {
			return nil, fmt.Errorf("the variables of the addon %s: %w", a.ID(), err)
		}
		always := at
		always.Primary = false
		for name, value := range provider.Variables(a) {
			key := at.Prefix() + name
			if _, taken := given[key]; taken {
				key = always.Prefix() + name
			}
			if _, taken := given[key]; taken {
				key = at.OwnPrefix() + name
			}
			given[key] = addonVariable{value, at}
		}
	}
	return given, nil
}

// addonEnv returns the variables that an app has of its addons.
func (p *Platform) addonEnv(ctx context.Context, app string) (hop3.Env, error) {
	list, err := p.Store.AttachmentsOf(ctx, app)
	if err != nil {
		return nil, err
	}
	given, err := p.addonVariables(ctx, list)
	if err != nil {
		return nil, err
	}
	vars := make(hop3.Env, len(given))
	for name, v := range given {
		vars[name] = v.value
	}
	return vars, nil
}

// withAddons returns a release's variables with those of the app's addons as
// they are now, and whether they differ from the release's.
func (p *Platform) withAddons(ctx context.Context, r hop3.Release) (env hop3.Env, origins map[string]string, differ bool, err error) {
	now, err := p.addonEnv(ctx, r.App)
	if err != nil {
		return nil, nil, false, err
	}
	app, err := p.Store.App(ctx, r.App)
	if err != nil {
		return nil, nil, false, err
	}
	env, origins = r.Env.Clone(), maps.Clone(r.Origins)
	if origins == nil {
		origins = map[string]string{}
	}
	for name, origin := range r.Origins {
		if _, still := now[name]; origin != hop3.OriginAddon || still {
			continue
		}
		delete(env, name)
		delete(origins, name)
		if own, set := app.Env[name]; set { // what the addon's hid
			env[name], origins[name] = own, hop3.OriginConfig
		}
	}
	for name, value := range now {
		env[name], origins[name] = value, hop3.OriginAddon
	}
	return env, origins, !maps.Equal(env, r.Env), nil
}

// refreshAddons gives a release that is about to serve the variables of the
// addons as they are now: what was true when it was made may be a password
// that was rotated since.
func (p *Platform) refreshAddons(ctx context.Context, r hop3.Release) (hop3.Release, error) {
	env, origins, differ, err := p.withAddons(ctx, r)
	if err != nil || !differ {
		return r, err
	}
	return p.Store.UpdateRelease(ctx, r.App, r.Number, func(r *hop3.Release) error {
		r.Env, r.Origins = env, origins
		return nil
	})
}

// syncAddons makes and activates a release with the variables of the app's
// addons as they are now, unless the live one has them. It returns its number,
// 0 when nothing runs. The app is locked by the caller.
func (p *Platform) syncAddons(ctx context.Context, who Actor, name string, out hop3.Output) (int, error) {
	app, err := p.Store.App(ctx, name)
	if err != nil || app.Live == 0 {
		return 0, err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return 0, err
	}
	env, origins, differ, err := p.withAddons(ctx, live)
	if err != nil || !differ {
		return 0, err
	}
	apply := func(r *hop3.Release) { r.Env, r.Origins = env, origins }
	resting, err := p.whileResting(ctx, name, func(app hop3.App) error {
		next := live
		next.Kind = hop3.ReleaseAddon
		apply(&next)
		return p.changeStopped(ctx, who, app, next, nil, nil)
	})
	if resting || err != nil {
		return 0, err
	}
	r, err := p.rereleaseLocked(ctx, who, app, live, hop3.ReleaseAddon, apply, out)
	return r.Number, err
}

// syncApp is syncAddons for an app that is not locked.
func (p *Platform) syncApp(ctx context.Context, who Actor, name string, out hop3.Output) error {
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = p.syncAddons(ctx, who, name, out)
	return err
}
