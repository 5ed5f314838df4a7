package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func teamCommands() []Command {
	return []Command{
		{Name: "team create", Summary: "Make a team, which apps can belong to", Usage: "TEAM", Who: Admin, Min: 1, Max: 1, Run: teamCreate},
		{Name: "team remove", Summary: "Remove a team that has no apps", Usage: "TEAM", Who: Admin, Min: 1, Max: 1, Run: teamRemove},
		{Name: "team list", Aliases: []string{"teams"}, Summary: "List your teams, all for an administrator", Who: User, Run: teamList},
		{Name: "team show", Summary: "Show the members and the apps of a team", Usage: "TEAM", Who: User, Min: 1, Max: 1, Run: teamShow},
		{Name: "team add-member", Summary: "Take a user into a team, or change their role", Usage: "TEAM USER", Who: Account, Min: 2, Max: 2, Run: teamAddMember,
			Flags: []Flag{{Name: "role", Value: "ROLE", Help: "viewer, deployer (if not said) or admin"}}},
		{Name: "team remove-member", Summary: "Take a user out of a team", Usage: "TEAM USER", Who: Account, Min: 2, Max: 2, Run: teamRemoveMember},
	}
}

func teamCreate(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("Team '%s' created.", c.Platform.CreateTeam(ctx, c.Actor(), c.Args[0]))
}

func teamRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("Team '%s' removed.", c.Platform.RemoveTeam(ctx, c.Actor(), c.Args[0]))
}

func teamList(ctx context.Context, c *Call) ([]api.Item, error) {
	teams, err := c.Platform.Teams(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	if len(teams) == 0 {
		return []api.Item{api.Text("You are in no team.")}, nil
	}
	table := api.Table([]string{"Team", "Members"})
	for _, t := range teams {
		table.Rows = append(table.Rows, []any{t.Name, len(t.Members)})
	}
	return []api.Item{table}, nil
}

func teamShow(ctx context.Context, c *Call) ([]api.Item, error) {
	t, apps, err := c.Platform.Team(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"Member", "Role"})
	for _, m := range t.Members {
		table.Rows = append(table.Rows, []any{m.Username, m.Role.String()})
	}
	if len(apps) == 0 {
		apps = []string{"none"}
	}
	return []api.Item{table, api.Text("Apps: %s", strings.Join(apps, ", "))}, nil
}

func teamAddMember(ctx context.Context, c *Call) ([]api.Item, error) {
	role, err := hop3.ParseRole(firstOf(c.Value("role"), hop3.RoleDeployer.String()))
	if err != nil {
		return nil, err
	}
	team, user := c.Args[0], c.Args[1]
	if err := c.Platform.SetMember(ctx, c.Actor(), team, hop3.Member{Username: user, Role: role}); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("User '%s' is in team '%s' now, as %s.", user, team, role), api.Summary("added %s to team %s.", user, team)}, nil
}

func teamRemoveMember(ctx context.Context, c *Call) ([]api.Item, error) {
	team, user := c.Args[0], c.Args[1]
	if err := c.Platform.SetMember(ctx, c.Actor(), team, hop3.Member{Username: user, Role: hop3.RoleNone}); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("User '%s' is not in team '%s' any more.", user, team), api.Summary("removed %s from team %s.", user, team)}, nil
}
