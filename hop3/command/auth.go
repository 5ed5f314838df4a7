package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func authCommands() []Command {
	return []Command{
		{Name: "auth get-token", Summary: "Get a token for a password", Usage: "USERNAME PASSWORD", Who: Public, Min: 2, Max: 2, Run: authGetToken},
		{Name: "auth whoami", Aliases: []string{"whoami"}, Summary: "Show who you are", Who: User, Run: authWhoami},
		{Name: "auth logout", Summary: "Revoke the token in use", Who: User, Run: authLogout},
	}
}

// authGetToken answers a wrong password with an item, because the Python
// client looks for a token among the items and shows them when there is none.
func authGetToken(ctx context.Context, c *Call) ([]api.Item, error) {
	token, err := c.Platform.Login(ctx, c.Source, c.Args[0], c.Args[1])
	switch hop3.CodeOf(err) {
	case "":
		return []api.Item{api.Text("%s", token)}, nil
	case hop3.CodeUnauthorized, hop3.CodeForbidden:
		return []api.Item{api.Failure("%s", hop3.MessageOf(err))}, nil
	default:
		return nil, err
	}
}

func authWhoami(_ context.Context, c *Call) ([]api.Item, error) {
	u := c.User
	active, roles, last := "False", "None", "Never"
	if u.Active {
		active = "True"
	}
	if u.Admin {
		roles = "admin"
	}
	if !u.LastLogin.IsZero() {
		last = stamp(u.LastLogin)
	}
	return []api.Item{
		api.Text("Authenticated User Information"),
		api.Text("%s", strings.Repeat("=", 40)),
		api.Text("Username: %s", u.Username),
		api.Text("Email: %s", u.Email),
		api.Text("Active: %s", active),
		api.Text("Roles: %s", roles),
		api.Text("Login count: %d", u.LoginCount),
		api.Text("Last login: %s", last),
	}, nil
}

func authLogout(ctx context.Context, c *Call) ([]api.Item, error) {
	if c.Token.ID == "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "There is no token to revoke: you did not come with one.")
	}
	if err := c.Platform.Logout(ctx, c.Token); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Success("Logged out user: %s", c.User.Username),
		api.Text("The token is revoked."),
	}, nil
}
