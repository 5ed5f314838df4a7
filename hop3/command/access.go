package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func accessCommands() []Command {
	return []Command{
		{Name: "app access", Summary: "Show who may do what on an app, and why", Who: Viewer, App: NeedsApp, Run: appAccess},
		{Name: "app grant", Summary: "Give a user or a team a role on an app", Usage: "USER|team:TEAM ROLE", Who: Keeper, App: NeedsApp, Min: 2, Max: 2, Run: appGrant},
		{Name: "app revoke", Summary: "Take a role on an app back", Usage: "USER|team:TEAM", Who: Keeper, App: NeedsApp, Min: 1, Max: 1, Run: appRevoke},
		{Name: "app transfer", Summary: "Give an app to another team", Usage: "TEAM", Who: Keeper, App: NeedsApp, Min: 1, Max: 1, Run: appTransfer},
	}
}

func appAccess(ctx context.Context, c *Call) ([]api.Item, error) {
	team, all, err := c.Platform.AppAccess(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"User", "Role", "Because"})
	for _, a := range all {
		table.Rows = append(table.Rows, []any{a.Username, a.Role.String(), a.Why})
	}
	return []api.Item{api.Text("App '%s' belongs to team '%s'.", c.App, team), table}, nil
}

// grantee reads to whom something is granted: a user, or team:TEAM.
func (c *Call) grantee(role hop3.Role) hop3.Grant {
	g := hop3.Grant{App: c.App, Role: role}
	if team, ok := strings.CutPrefix(c.Args[0], "team:"); ok {
		g.Team = team
	} else {
		g.User = c.Args[0]
	}
	return g
}

func appGrant(ctx context.Context, c *Call) ([]api.Item, error) {
	role, err := hop3.ParseRole(c.Args[1])
	if err != nil {
		return nil, err
	}
	if err := c.Platform.Grant(ctx, c.Actor(), c.grantee(role)); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("'%s' is %s of '%s' now.", c.Args[0], role, c.App),
		api.Summary("granted %s on %s.", role, c.App),
	}, nil
}

func appRevoke(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.Grant(ctx, c.Actor(), c.grantee(hop3.RoleNone)); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("What '%s' was granted on '%s' is taken back. `hop3 app access --app %s` shows who may do what.", c.Args[0], c.App, c.App),
		api.Summary("revoked a grant on %s.", c.App),
	}, nil
}

func appTransfer(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.TransferApp(ctx, c.Actor(), c.App, c.Args[0]); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("App '%s' belongs to team '%s' now.", c.App, c.Args[0]), api.Summary("transferred %s.", c.App)}, nil
}
