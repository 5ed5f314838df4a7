package platform

import (
	"context"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// Teams returns the teams that the actor is in, all of them for an
// administrator, ordered by name.
func (p *Platform) Teams(ctx context.Context, who Actor) ([]hop3.Team, error) {
	teams, err := p.Store.Teams(ctx)
	if err != nil || who.Admin {
		return teams, err
	}
	rights, err := p.rights(ctx, who)
	return slices.DeleteFunc(teams, func(t hop3.Team) bool { return rights.Teams[t.Name] == hop3.RoleNone }), err
}

// Team returns a team that the actor is in, and the names of its apps. Another
// one does not exist for them.
func (p *Platform) Team(ctx context.Context, who Actor, name string) (hop3.Team, []string, error) {
	teams, err := p.Teams(ctx, who)
	if err != nil {
		return hop3.Team{}, nil, err
	}
	i := slices.IndexFunc(teams, func(t hop3.Team) bool { return t.Name == name })
	if i < 0 {
		return hop3.Team{}, nil, noTeam(name)
	}
	apps, err := p.visible(ctx, who)
	var names []string
	for _, app := range apps {
		if app.Team == name && app.Preview == nil {
			names = append(names, app.Name)
		}
	}
	return teams[i], names, err
}

// CreateTeam makes a team without members.
func (p *Platform) CreateTeam(ctx context.Context, who Actor, name string) error {
	if err := adminOnly(who); err != nil {
		return err
	}
	if err := hop3.ValidateTeamName(name); err != nil {
		return err
	}
	return p.Store.CreateTeam(ctx, name, rightsEvent(asked(ctx, who), "", "the team %s was made", name))
}

// RemoveTeam removes a team that has no apps.
func (p *Platform) RemoveTeam(ctx context.Context, who Actor, name string) error {
	if err := adminOnly(who); err != nil {
		return err
	}
	if name == hop3.DefaultTeam {
		return hop3.Errorf(hop3.CodeConflict, "The team '%s' stays: new users and apps come into it.", name)
	}
	defer p.evict(ctx, "")
	return p.Store.DeleteTeam(ctx, name, rightsEvent(asked(ctx, who), "", "the team %s was removed", name))
}

// SetMember gives a user a role in a team; with RoleNone they leave it. It is
// for administrators, and for who has RoleAdmin in the team: these say nothing
// about themselves.
func (p *Platform) SetMember(ctx context.Context, who Actor, team string, m hop3.Member) error {
	if !who.Admin {
		rights, err := p.rights(ctx, who)
		switch {
		case err != nil:
			return err
		case rights.Teams[team] == hop3.RoleNone:
			return noTeam(team)
		case rights.Teams[team] < hop3.RoleAdmin || who.Scope != nil:
			return hop3.Errorf(hop3.CodeForbidden, "This takes the role admin in team '%s'.", team)
		case who.Username == m.Username:
			return hop3.Errorf(hop3.CodeForbidden, "You cannot change your own role.")
		}
	}
	if m.Role < hop3.RoleDeployer {
		defer p.evict(ctx, m.Username)
	}
	e := rightsEvent(asked(ctx, who), "", "%s has the role %s in team %s", m.Username, m.Role, team)
	if m.Role == hop3.RoleNone {
		e = rightsEvent(asked(ctx, who), "", "%s is in team %s no more", m.Username, team)
	}
	return p.Store.SetMember(ctx, team, m, e)
}

func noTeam(name string) error {
	return hop3.Errorf(hop3.CodeNotFound, "Team '%s' not found.", name)
}
