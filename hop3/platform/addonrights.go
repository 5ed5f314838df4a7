package platform

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// knownAddon is an addon with what makes it.
type knownAddon struct {
	hop3.Addon
	provider hop3.AddonProvider
}

// withoutSecrets returns what of an addon may be shown.
func (a knownAddon) withoutSecrets() hop3.Addon {
	shown := a.Addon
	shown.Details, shown.Next, shown.Last = nil, nil, nil
	return shown
}

// seenAddon is an addon as an actor may see it.
type seenAddon struct {
	knownAddon
	apps []string // that it is attached to and that they may see
	role hop3.Role
	lent bool // their role is by an app that has it, not by the team whose it is
}

// addonSight is what an actor sees of addons, as it is stored at one moment.
type addonSight struct {
	who    Actor
	rights hop3.Rights
	apps   map[string]hop3.Role
	list   []hop3.Attachment
}

func (p *Platform) addonSight(ctx context.Context, who Actor) (addonSight, error) {
	s := addonSight{who: who, apps: map[string]hop3.Role{}}
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return s, err
	}
	if who.app == "" {
		if s.rights, err = p.rights(ctx, who); err != nil {
			return s, err
		}
	}
	for _, app := range apps {
		if role := roleOn(who, s.rights, app); role > hop3.RoleNone {
			s.apps[app.Name] = role
		}
	}
	s.list, err = p.Store.Attachments(ctx)
	return s, err
}

// see returns an addon as the actor sees it; with RoleNone they do not. What
// an app has, its deployers can use by its variables anyway.
func (s addonSight) see(a knownAddon) seenAddon {
	seen := seenAddon{knownAddon: a, role: max(s.rights.Role, s.rights.Teams[a.Team])}
	if s.who.Scope != nil {
		seen.role = s.who.Scope.On(hop3.App{}, seen.role)
	}
	for _, at := range s.list {
		role := min(s.apps[at.App], hop3.RoleDeployer)
		if at.Addon() != a.ID() || role == hop3.RoleNone {
			continue
		}
		seen.apps = append(seen.apps, at.App)
		if role > seen.role {
			seen.role, seen.lent = role, true
		}
	}
	return seen
}

// addon returns an addon on which the actor has at least this role. To who may
// not see it, it does not exist: see app.
func (p *Platform) addon(ctx context.Context, who Actor, id hop3.AddonID, need hop3.Role) (seenAddon, error) {
	provider, err := p.provider(id.Type)
	if err != nil {
		return seenAddon{}, err
	}
	sight, err := p.addonSight(ctx, who)
	if err != nil {
		return seenAddon{}, err
	}
	a, err := p.Store.Addon(ctx, id)
	if err != nil {
		return seenAddon{}, err
	}
	seen := sight.see(knownAddon{a, provider})
	switch {
	case seen.role == hop3.RoleNone:
		return seenAddon{}, hop3.Errorf(hop3.CodeNotFound, "There is no addon %s.", id)
	case seen.role < need:
		return seenAddon{}, hop3.Errorf(hop3.CodeForbidden, "This takes the role %s on the addon %s, and yours is %s.", need, id, seen.role).
			WithHint("It belongs to the team '%s'.", a.Team)
	}
	return seen, nil
}

// readyAddon is addon for what can only be done with one that works.
func (p *Platform) readyAddon(ctx context.Context, who Actor, id hop3.AddonID, need hop3.Role) (seenAddon, error) {
	a, err := p.addon(ctx, who, id, need)
	if err == nil && a.Status != hop3.AddonReady {
		err = hop3.Errorf(hop3.CodeConflict, "The addon %s is %s.", id, a.Status)
	}
	return a, err
}

// AddonStatus is an addon with the apps it is attached to.
type AddonStatus struct {
	hop3.Addon          // without secrets
	Apps       []string // those that the caller may see
}

// Addons returns the addons that the actor may see, ordered by name and type;
// of one app when app is not "", of one type when kind is not "".
func (p *Platform) Addons(ctx context.Context, who Actor, app, kind string) ([]AddonStatus, error) {
	if app != "" {
		if err := p.may(ctx, who, app, hop3.RoleViewer); err != nil {
			return nil, err
		}
	}
	sight, err := p.addonSight(ctx, who)
	if err != nil {
		return nil, err
	}
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return nil, err
	}
	var found []AddonStatus
	for _, a := range addons {
		seen := sight.see(knownAddon{Addon: a})
		if seen.role == hop3.RoleNone || kind != "" && a.Type != addonType(kind) || app != "" && !attachedTo(sight.list, a.ID(), app) {
			continue
		}
		found = append(found, AddonStatus{seen.withoutSecrets(), seen.apps})
	}
	return found, nil
}

func attachedTo(list []hop3.Attachment, id hop3.AddonID, app string) bool {
	for _, at := range list {
		if at.Addon() == id && at.App == app {
			return true
		}
	}
	return false
}

// FindAddon returns the ID of the addon of a name that the actor may see. With
// a kind it is of that type; without, it is the only one of the name, or the
// PostgreSQL database.
func (p *Platform) FindAddon(ctx context.Context, who Actor, name, kind string) (hop3.AddonID, error) {
	if kind != "" {
		id := hop3.AddonID{Type: addonType(kind), Name: name}
		_, err := p.addon(ctx, who, id, hop3.RoleViewer)
		return id, err
	}
	all, err := p.Addons(ctx, who, "", "")
	if err != nil {
		return hop3.AddonID{}, err
	}
	var types []string
	for _, a := range all {
		if a.Name == name {
			types = append(types, a.Type)
		}
	}
	switch {
	case len(types) == 0:
		return hop3.AddonID{}, hop3.Errorf(hop3.CodeNotFound, "There is no addon '%.80s'.", name).WithHint("`hop3 addon list` lists them.")
	case len(types) == 1:
		return hop3.AddonID{Type: types[0], Name: name}, nil
	}
	return hop3.AddonID{}, hop3.Errorf(hop3.CodeInvalid, "There are several addons '%s': %s.", name, strings.Join(types, ", ")).
		WithHint("Say which by --type, as `--type %s`.", types[0])
}
