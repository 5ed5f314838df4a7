package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func authCommands() []Command {
	return []Command{
		{Name: "auth get-token", Summary: "Get a token for a password", Usage: "USERNAME PASSWORD [CODE]", Who: Public, Min: 2, Max: 3, Run: authGetToken},
		{Name: "auth whoami", Aliases: []string{"whoami"}, Summary: "Show who you are", Who: User, Run: authWhoami},
		{Name: "auth logout", Summary: "Revoke the token in use", Who: User, Run: authLogout},
		{Name: "auth token", Summary: "Get a token for your SSH key", Who: Account, Run: authToken},
		{Name: "auth password", Summary: "Change your password", Usage: "CURRENT NEW [CODE]", Who: Account, Min: 2, Max: 3, Run: authPassword,
			Flags: []Flag{tokensToo}},
		{Name: "auth totp enable", Summary: "Begin to ask for codes when you log in", Who: Account, Run: totpEnable},
		{Name: "auth totp confirm", Summary: "Show that your telephone makes the right codes", Usage: "CODE", Who: Account, Min: 1, Max: 1, Run: totpConfirm},
		{Name: "auth totp disable", Summary: "Ask for codes no more", Usage: "[CODE]", Who: Account, Max: 1, Run: totpDisable,
			Flags: []Flag{{Name: "user", Value: "USERNAME", Help: "of whom, for an administrator: without a code"}}},
		{Name: "auth magic-link", Summary: "Make a link that logs a user in, once", Usage: "USERNAME", Who: Admin, Hidden: true, Min: 1, Max: 1, Run: authMagicLink},
		{Name: "auth redeem", Summary: "Get a token for a magic link", Usage: "LINK [CODE]", Who: Public, Hidden: true, Min: 1, Max: 2, Run: authRedeem},
		{Name: "auth web begin", Summary: "Begin a login that a browser lets in", Who: Public, Hidden: true, Run: authWebBegin},
		{Name: "auth web wait", Summary: "Get the token of such a login", Usage: "SECRET", Who: Public, Hidden: true, Min: 1, Max: 1, Run: authWebWait},
	}
}

// authGetToken answers a wrong password with an item, because the Python
// client looks for a token among the items and shows them when there is none.
func authGetToken(ctx context.Context, c *Call) ([]api.Item, error) {
	return tokenOrWhy(c.Platform.Login(ctx, c.Source, c.Args[0], c.Args[1], c.optional(2)))
}

// authToken is for who came by SSH: a token must not be good for another one,
// or one that was stolen would live for ever.
func authToken(ctx context.Context, c *Call) ([]api.Item, error) {
	if c.Token.ID != "" || c.Source != SSH {
		return nil, hop3.Errorf(hop3.CodeInvalid, "This is for who comes by SSH: `ssh -p <port> <host> auth token`.").
			WithHint("`hop3 login --ssh <host>` does that. `hop3 token create NAME` makes a token for a program.")
	}
	token, err := c.Platform.OwnToken(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("%s", token)}, nil
}

func authPassword(ctx context.Context, c *Call) ([]api.Item, error) {
	who := c.Actor()
	err := c.Platform.ChangePassword(ctx, who, c.Args[0], c.Args[1], c.optional(2))
	if err == nil && c.Has(tokensToo.Name) {
		err = c.Platform.RevokeTokens(ctx, who, who.Username)
	}
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Success("Your password is changed. Your other logins have ended.")}, nil
}

func authMagicLink(ctx context.Context, c *Call) ([]api.Item, error) {
	link, err := c.Platform.MagicLink(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("%s", link),
		api.Text("%s/auth/magic/%s", c.Platform.ControlURL(), link),
		api.Summary("made a link for %s: it logs a browser in once, within 5 minutes.", c.Args[0]),
	}, nil
}

func authRedeem(ctx context.Context, c *Call) ([]api.Item, error) {
	return tokenOrWhy(c.Platform.RedeemMagicLink(ctx, c.Source, c.Args[0], c.optional(1)))
}

// authWebBegin answers with what the command line tells its user, and what it
// keeps to itself.
func authWebBegin(ctx context.Context, c *Call) ([]api.Item, error) {
	l, err := c.Platform.BeginWebLogin(ctx, c.Source, c.Address)
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("URL: %s/auth/device", c.Platform.ControlURL()),
		api.Text("Code: %s", l.Code),
		api.Text("Secret: %s", l.Secret),
	}, nil
}

func authWebWait(ctx context.Context, c *Call) ([]api.Item, error) {
	token, err := c.Platform.AwaitWebLogin(ctx, c.Args[0])
	if err == nil && token == "" {
		return []api.Item{api.Text("Nobody has let it in yet.")}, nil
	}
	return tokenOrWhy(token, err)
}

// optional returns the argument at i, "" when there are fewer.
func (c *Call) optional(i int) string {
	if i < len(c.Args) {
		return c.Args[i]
	}
	return ""
}

// tokenOrWhy is the answer to a login.
func tokenOrWhy(token string, err error) ([]api.Item, error) {
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
