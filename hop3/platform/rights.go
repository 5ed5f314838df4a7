package platform

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Roles is the part of the store that knows who may do what.
type Roles interface {
	// Rights returns all that a user may do: nothing, without an error, for
	// one who is disabled or does not exist.
	Rights(ctx context.Context, username string) (hop3.Rights, error)
	Grants(ctx context.Context, app string) ([]hop3.Grant, error)
	// SetGrant grants a role on an app, RoleNone takes the grant away.
	SetGrant(ctx context.Context, g hop3.Grant, events ...hop3.Event) error
	TransferApp(ctx context.Context, app, team string, events ...hop3.Event) error

	Teams(ctx context.Context) ([]hop3.Team, error) // ordered by name
	CreateTeam(ctx context.Context, name string, events ...hop3.Event) error
	// DeleteTeam returns a CodeConflict error while apps belong to the team.
	DeleteTeam(ctx context.Context, name string, events ...hop3.Event) error
	// SetMember gives a user a role in a team; with RoleNone they leave it.
	SetMember(ctx context.Context, team string, m hop3.Member, events ...hop3.Event) error
}

// Actor is who asks: a user, or the host's administrator. What a user may do
// is read from the store each time.
type Actor struct {
	Username string
	// Admin administers the server.
	Admin bool
	// Scope narrows what the actor may do, where they came with a token of
	// their own making; nil does not.
	Scope *hop3.Scope
	// Source is the address they come from; see hop3.Event.
	Source string
	// Login is the ID of the login's token that they came with; "" for none.
	Login string
	// Token is the token that they came with, a login's or a program's; nil for
	// none.
	Token *Token

	app string // not a user, but this app: it may deploy itself
}

// UserActor returns the actor that a user is, as far as a token's scope lets
// them be it.
func UserActor(u hop3.User, scope hop3.Scope) Actor {
	a := Actor{Username: u.Username, Admin: u.Admin && scope.Full()}
	if !scope.Full() {
		a.Scope = &scope
	}
	return a
}

// rights returns what an actor may do who is no app.
func (p *Platform) rights(ctx context.Context, who Actor) (hop3.Rights, error) {
	if who.Admin {
		return hop3.Rights{Role: hop3.RoleAdmin}, nil
	}
	return p.Store.Rights(ctx, who.Username)
}

// roleOn returns an actor's role on an app.
func roleOn(who Actor, r hop3.Rights, app hop3.App) hop3.Role {
	if who.app != "" {
		if who.app == app.Name {
			return hop3.RoleDeployer
		}
		return hop3.RoleNone
	}
	role := r.On(app)
	if who.Scope != nil {
		role = who.Scope.On(app, role)
	}
	return role
}

// app returns an app on which the actor has at least this role, and which they
// have. To who may not see it, it does not exist: the CodeNotFound error is
// that of a name nobody has. Who sees it and may not do that is told which
// role it takes, with CodeForbidden.
func (p *Platform) app(ctx context.Context, who Actor, name string, need hop3.Role) (hop3.App, hop3.Role, error) {
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return hop3.App{}, hop3.RoleNone, err
	}
	rights, err := p.rights(ctx, who)
	if err != nil {
		return hop3.App{}, hop3.RoleNone, err
	}
	role := roleOn(who, rights, app)
	switch {
	case role == hop3.RoleNone:
		return hop3.App{}, role, hop3.Errorf(hop3.CodeNotFound, "App '%s' not found.", name)
	case role < need:
		p.Logger.Info("refused", zap.String("app", name), zap.String("user", who.Username), zap.Stringer("role", role), zap.Stringer("needs", need))
		return hop3.App{}, role, hop3.Errorf(hop3.CodeForbidden, "This takes the role %s on '%s', and yours is %s.", need, name, role).
			WithHint("`hop3 app access --app %s` shows who may do what.", name)
	}
	return app, role, nil
}

// may is app for who needs no more than to know.
func (p *Platform) may(ctx context.Context, who Actor, name string, need hop3.Role) error {
	_, _, err := p.app(ctx, who, name, need)
	return err
}

// Authorize returns nil when the actor has at least this role on an app. For
// RoleNone, and for an app they may not see, see hop3.CodeNotFound.
func (p *Platform) Authorize(ctx context.Context, who Actor, name string, need hop3.Role) error {
	return p.may(ctx, who, name, max(need, hop3.RoleViewer))
}

// AuthorizeCreate returns nil when the actor may deploy to an app, or may make
// it where there is none. A name that is taken by an app which they may not see
// is a CodeConflict error.
func (p *Platform) AuthorizeCreate(ctx context.Context, who Actor, name string) error {
	err := p.may(ctx, who, name, hop3.RoleDeployer)
	if hop3.CodeOf(err) != hop3.CodeNotFound {
		return err
	}
	if _, err := p.teamForNew(ctx, who, name); err != nil {
		return err
	}
	_, err = p.Store.App(ctx, name)
	switch {
	case err == nil:
		return hop3.Errorf(hop3.CodeConflict, "App '%s' already exists.", name)
	case hop3.CodeOf(err) == hop3.CodeNotFound:
		return nil
	}
	return err
}

// visible returns the apps that an actor may see, ordered by name.
func (p *Platform) visible(ctx context.Context, who Actor) ([]hop3.App, error) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	rights, err := p.rights(ctx, who)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(apps, func(app hop3.App) bool { return roleOn(who, rights, app) == hop3.RoleNone }), nil
}

// AppNames returns the names of the apps that an actor may see, in order.
func (p *Platform) AppNames(ctx context.Context, who Actor) ([]string, error) {
	apps, err := p.visible(ctx, who)
	names := make([]string, 0, len(apps))
	for _, app := range apps {
		names = append(names, app.Name)
	}
	return names, err
}

// teamForNew returns the team of an app that the actor makes, or a
// CodeForbidden error when they may make none of this name.
func (p *Platform) teamForNew(ctx context.Context, who Actor, name string) (string, error) {
	rights, err := p.rights(ctx, who)
	if err != nil {
		return "", err
	}
	team, ok := rights.TeamForNew()
	if ok && who.Scope != nil {
		ok = who.Scope.On(hop3.App{Name: name}, hop3.RoleDeployer) >= hop3.RoleDeployer
	}
	if !ok || who.app != "" {
		return "", hop3.Errorf(hop3.CodeForbidden, "You may not create the app '%s'.", name).
			WithHint("It takes the role deployer in a team, and a token whose scope allows it.")
	}
	return team, nil
}

// ownAccount returns nil when the actor manages the account of a user: their own,
// or, as an administrator, anybody's. A token that is narrowed to apps or
// reading does not make another one.
func ownAccount(who Actor, username string) error {
	if who.Scope != nil && !who.Scope.Full() {
		return hop3.Errorf(hop3.CodeForbidden, "This token may not manage an account.").
			WithHint("It takes a login, an SSH key, or a token of scope admin.")
	}
	return selfOrAdmin(who, username)
}

// withoutSecrets returns what a viewer may see of an app.
func withoutSecrets(app hop3.App) hop3.App {
	app.Env, app.PreviewEnv = redacted(app.Env), redacted(app.PreviewEnv)
	app.Admin, app.Probe = nil, nil
	app.Source = hop3.RedactRepoURL(app.Source)
	if app.Webhook != nil {
		app.Webhook = &hop3.Webhook{CreatedAt: app.Webhook.CreatedAt}
	}
	return app
}

func redacted(env hop3.Env) hop3.Env {
	env = maps.Clone(env)
	for key, value := range env {
		env[key] = hop3.Redact(key, value)
	}
	return env
}

// Access is a line of who may do what on an app, and why.
type Access struct {
	Username string
	Role     hop3.Role
	Why      string // "team default, granted"
}

// AppAccess returns the app's team and everybody who may see the app, ordered
// by name.
func (p *Platform) AppAccess(ctx context.Context, who Actor, name string) (team string, all []Access, err error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return "", nil, err
	}
	users, err := p.Store.Users(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, u := range users {
		r, err := p.Store.Rights(ctx, u.Username)
		if err != nil {
			return "", nil, err
		}
		if role := r.On(app); role > hop3.RoleNone {
			all = append(all, Access{u.Username, role, why(r, app)})
		}
	}
	return app.Team, all, nil
}

// why says where a role on an app comes from.
func why(r hop3.Rights, app hop3.App) string {
	var reasons []string
	if r.Role == hop3.RoleAdmin {
		return "administrator"
	}
	if r.Role > hop3.RoleNone {
		reasons = append(reasons, fmt.Sprintf("%s of all apps", r.Role))
	}
	if role := r.Teams[app.Team]; role > hop3.RoleNone {
		reasons = append(reasons, fmt.Sprintf("%s in team %s", role, app.Team))
	}
	if role := r.Apps[app.Name]; role > hop3.RoleNone {
		reasons = append(reasons, fmt.Sprintf("granted %s", role))
	}
	if len(reasons) == 0 && app.Preview != nil {
		return "as for " + app.Preview.Parent
	}
	return strings.Join(reasons, ", ")
}

// Grant gives a user or a team a role on an app; RoleNone takes the grant away.
func (p *Platform) Grant(ctx context.Context, who Actor, g hop3.Grant) error {
	app, _, err := p.app(ctx, who, g.App, hop3.RoleAdmin)
	if err != nil {
		return err
	}
	if app.Preview != nil {
		return isPreview(app)
	}
	if g.Team == hop3.DefaultTeam && app.Team == hop3.DefaultTeam {
		return hop3.Errorf(hop3.CodeInvalid, "'%s' belongs to team '%s': its members have their roles there.", g.App, g.Team).
			WithHint("`hop3 team add-member %s USER --role ROLE` changes one, `hop3 app transfer` gives the app to another team.", g.Team)
	}
	if g.Role < hop3.RoleDeployer {
		defer p.evict(ctx, g.User) // "" when it is a team's: everybody
	}
	e := rightsEvent(asked(ctx, who), g.App, "%s was granted the role %s on '%s'", cmp.Or(g.User, "team "+g.Team), g.Role, g.App)
	if g.Role == hop3.RoleNone {
		e = rightsEvent(asked(ctx, who), g.App, "the grant of %s on '%s' was taken away", cmp.Or(g.User, "team "+g.Team), g.App)
	}
	return p.Store.SetGrant(ctx, g, e)
}

// TransferApp gives an app to another team, one in which the actor may deploy
// too.
func (p *Platform) TransferApp(ctx context.Context, who Actor, name, team string) error {
	app, _, err := p.app(ctx, who, name, hop3.RoleAdmin)
	if err != nil {
		return err
	}
	if app.Preview != nil {
		return isPreview(app)
	}
	rights, err := p.rights(ctx, who)
	if err != nil {
		return err
	}
	if rights.Role < hop3.RoleDeployer && rights.Teams[team] < hop3.RoleDeployer {
		return hop3.Errorf(hop3.CodeNotFound, "Team '%s' not found.", team)
	}
	defer p.evict(ctx, "")
	if err := p.Store.TransferApp(ctx, name, team, rightsEvent(asked(ctx, who), name, "'%s' belongs to team %s now", name, team)); err != nil {
		return err
	}
	previews, err := p.previewsOf(ctx, name)
	for _, preview := range previews {
		if err == nil {
			err = p.Store.TransferApp(ctx, preview.Name, team)
		}
	}
	return err
}

// SetRole gives a user a role on every app, RoleNone for what teams and grants
// say. Administrators are made by SetAdmin.
func (p *Platform) SetRole(ctx context.Context, who Actor, username string, role hop3.Role) error {
	if err := adminOnly(who); err != nil {
		return err
	}
	if role >= hop3.RoleAdmin {
		return p.SetAdmin(ctx, who, username, true)
	}
	if role < hop3.RoleDeployer {
		defer p.evict(ctx, username)
	}
	_, err := p.Store.UpdateUser(ctx, username, func(u *hop3.User) error {
		u.Role = role
		return nil
	}, userEvent(asked(ctx, who), hop3.EventUserChanged, username, "%s has the role %s on every app", username, role))
	return err
}

// rightsEvent is the event of a change of who may do what.
func rightsEvent(ctx context.Context, app, format string, args ...any) hop3.Event {
	return event(ctx, hop3.EventRightsChanged, app, format, args...)
}
