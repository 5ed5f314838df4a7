package command

import (
	"context"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

var tokensToo = Flag{Name: "tokens", Help: "end the user's API tokens, too, and not only logins"}

func userCommands() []Command {
	return []Command{
		{Name: "user add", Aliases: []string{"auth register"}, Summary: "Make an account", Usage: "USERNAME EMAIL PASSWORD", Who: Admin, Min: 3, Max: 3, Run: userAdd,
			Flags: []Flag{{Name: "admin", Help: "with the rights of an administrator"}}},
		{Name: "user remove", Summary: "Delete an account with its keys", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userRemove},
		{Name: "user list", Summary: "List the accounts", Who: Admin, Run: userList},
		{Name: "user show", Summary: "Show an account", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userShow},
		{Name: "user set-password", Summary: "Change a password", Usage: "USERNAME PASSWORD", Who: Admin, Min: 2, Max: 2, Run: userSetPassword,
			Flags: []Flag{tokensToo}},
		{Name: "user grant", Summary: "Give a user a role on every app", Usage: "USERNAME ROLE", Who: Admin, Min: 2, Max: 2, Run: userGrant},
		{Name: "user revoke", Summary: "Take a user's role on every app back", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userRevoke},
		{Name: "user grant-admin", Summary: "Make a user an administrator", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userGrantAdmin},
		{Name: "user revoke-admin", Summary: "Take an administrator's rights away", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userRevokeAdmin},
		{Name: "user enable", Summary: "Let a disabled user in again", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userEnable},
		{Name: "user disable", Summary: "Lock a user out at once", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userDisable,
			Flags: []Flag{tokensToo}},
		{Name: "user unlink", Summary: "Take an account's link to single sign-on away", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userUnlink},
		{Name: "user generate-token", Summary: "Make a token for a user", Usage: "USERNAME", Who: Admin, Min: 1, Max: 1, Run: userGenerateToken},
	}
}

func userAdd(ctx context.Context, c *Call) ([]api.Item, error) {
	u := hop3.User{Username: c.Args[0], Email: c.Args[1], Admin: c.Has("admin")}
	if _, err := c.Platform.AddUser(ctx, c.Actor(), u, c.Args[2]); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("User '%s' created.", u.Username), api.Summary("added user %s.", u.Username)}, nil
}

func userRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("User '%s' removed.", c.Platform.RemoveUser(ctx, c.Actor(), c.Args[0]))
}

func userList(ctx context.Context, c *Call) ([]api.Item, error) {
	users, err := c.Platform.Users(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	items := []api.Item{api.Text("%-20s %-30s %-6s %s", "Username", "Email", "Admin", "Active")}
	for _, u := range users {
		items = append(items, api.Text("%-20s %-30s %-6s %s", u.Username, u.Email, yes(u.Admin), yes(u.Active)))
	}
	return append(items, api.Text("Total users: %d", len(users))), nil
}

func userShow(ctx context.Context, c *Call) ([]api.Item, error) {
	u, err := c.Platform.User(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("Username: %s", u.Username),
		api.Text("Email: %s", u.Email),
		api.Text("Admin: %s", yes(u.Admin)),
		api.Text("Active: %s", yes(u.Active)),
		api.Text("Login count: %d", u.LoginCount),
		api.Text("Created: %s", stamp(u.CreatedAt)),
	}, nil
}

func userSetPassword(ctx context.Context, c *Call) ([]api.Item, error) {
	err := c.Platform.SetPassword(ctx, c.Actor(), c.Args[0], c.Args[1])
	if err == nil {
		err = c.endTokens(ctx)
	}
	return c.done("Password of '%s' changed.", err)
}

func userGrant(ctx context.Context, c *Call) ([]api.Item, error) {
	role, err := hop3.ParseRole(c.Args[1])
	if err != nil {
		return nil, err
	}
	if role == hop3.RoleAdmin {
		return userGrantAdmin(ctx, c)
	}
	return c.done("User '%s' is "+role.String()+" of every app now.", c.Platform.SetRole(ctx, c.Actor(), c.Args[0], role))
}

func userRevoke(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("User '%s' has the roles now that teams and grants say.", c.Platform.SetRole(ctx, c.Actor(), c.Args[0], hop3.RoleNone))
}

func userGrantAdmin(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("User '%s' is an administrator now.", c.Platform.SetAdmin(ctx, c.Actor(), c.Args[0], true))
}

func userRevokeAdmin(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("User '%s' is no administrator any more.", c.Platform.SetAdmin(ctx, c.Actor(), c.Args[0], false))
}

func userEnable(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("User '%s' is enabled.", c.Platform.SetActive(ctx, c.Actor(), c.Args[0], true))
}

func userDisable(ctx context.Context, c *Call) ([]api.Item, error) {
	err := c.Platform.SetActive(ctx, c.Actor(), c.Args[0], false)
	if err == nil {
		err = c.endTokens(ctx)
	}
	return c.done("User '%s' is disabled.", err)
}

func userUnlink(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("User '%s' is not linked to single sign-on any more.", c.Platform.Unlink(ctx, c.Actor(), c.Args[0]))
}

func userGenerateToken(ctx context.Context, c *Call) ([]api.Item, error) {
	token, err := c.Platform.IssueToken(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("%s", token)}, nil
}

// endTokens ends the tokens of the user who is named first, when that is asked
// for.
func (c *Call) endTokens(ctx context.Context) error {
	if !c.Has(tokensToo.Name) {
		return nil
	}
	return c.Platform.RevokeTokens(ctx, c.Actor(), c.Args[0])
}

// done is the answer of a command about the user it names first.
func (c *Call) done(sentence string, err error) ([]api.Item, error) {
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text(sentence, c.Args[0])}, nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
