package hop3

import "slices"

// Grant gives a user, or the members of a team, a role on one app. Exactly one
// of User and Team is set.
type Grant struct {
	App  string
	User string
	Team string
	Role Role
}

// Rights is all that a user may do, as it is stored at one moment. The zero
// value may do nothing.
type Rights struct {
	Role  Role            // on every app; RoleAdmin administers the server
	Teams map[string]Role // of which they are members
	Apps  map[string]Role // that were granted to them, or to a team of theirs
}

// On returns the role on an app. A preview is what its app is.
func (r Rights) On(app App) Role {
	name := app.Name
	if app.Preview != nil {
		name = app.Preview.Parent
	}
	return max(r.Role, r.Teams[app.Team], r.Apps[name])
}

// TeamForNew returns the team that an app made by them belongs to: the default
// one when they may deploy there, else the first of those where they may. It
// reports false for who may make none.
func (r Rights) TeamForNew() (string, bool) {
	var teams []string
	for team, role := range r.Teams {
		if role >= RoleDeployer {
			teams = append(teams, team)
		}
	}
	if len(teams) == 0 || slices.Contains(teams, DefaultTeam) {
		return DefaultTeam, len(teams) > 0 || r.Role >= RoleDeployer
	}
	return slices.Min(teams), true
}
