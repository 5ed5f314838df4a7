package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

func checkCommands() []Command {
	return []Command{
		{Name: "app check", Summary: "Run an app's smoke test, check.py", Who: Deployer, App: NeedsApp, Run: appCheck},
		{Name: "app credentials", Summary: "Show the login of the app's first account", Who: Deployer, App: NeedsApp, Run: appCredentials},
	}
}

func appCheck(ctx context.Context, c *Call) ([]api.Item, error) {
	result, err := c.Platform.CheckApp(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if !result.Ran {
		return []api.Item{api.Text("App '%s' has %s.", c.App, result.Summary())}, nil
	}
	var items []api.Item
	if len(result.Output) > 0 {
		items = append(items, api.Text("%s", strings.Join(result.Output, "\n")))
	}
	if result.Passed {
		return append(items, api.Success("%s", result.Summary())), nil
	}
	return append(items, api.Failure("%s", result.Summary())), nil
}

func appCredentials(ctx context.Context, c *Call) ([]api.Item, error) {
	account, err := c.Platform.Credentials(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if account == nil {
		return []api.Item{api.Text("App '%s' has no Hop3-managed admin credential: its hop3.toml has no [admin].", c.App)}, nil
	}
	lines := []string{"Username: " + account.Username, "Email: " + account.Email, "Password: " + account.Password}
	if account.Email == "" {
		lines = append(lines[:1], lines[2])
	}
	if account.Username == "" {
		lines = lines[1:]
	}
	if !account.Created {
		lines = append(lines, "The command that makes the account has not succeeded yet: the next deploy tries it again.")
	}
	return []api.Item{api.Text("%s", strings.Join(lines, "\n"))}, nil
}
