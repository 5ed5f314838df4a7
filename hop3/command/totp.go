package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

func totpEnable(ctx context.Context, c *Call) ([]api.Item, error) {
	secret, url, err := c.Platform.EnableSecondFactor(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("Secret: %s", secret),
		api.Text("URL:    %s", url),
		api.Text("Enter one of them in the app that makes codes on your telephone. Then show a code:"),
		api.Text("  hop3 auth totp confirm CODE"),
	}, nil
}

func totpConfirm(ctx context.Context, c *Call) ([]api.Item, error) {
	codes, err := c.Platform.ConfirmSecondFactor(ctx, c.Actor(), c.Args[0])
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("From now on a login by password asks for a code. Each of these works once in place of one; they are shown this once:"),
		api.Text("%s", strings.Join(codes, "\n")),
		api.Summary("enabled the second factor of %s.", c.User.Username),
	}, nil
}

func totpDisable(ctx context.Context, c *Call) ([]api.Item, error) {
	code := ""
	if len(c.Args) > 0 {
		code = c.Args[0]
	}
	if err := c.Platform.DisableSecondFactor(ctx, c.Actor(), c.owner(), code); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("A password is enough for '%s' again.", c.owner()), api.Summary("disabled the second factor of %s.", c.owner())}, nil
}
