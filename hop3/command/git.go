package command

import (
	"context"
	"fmt"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func gitCommands() []Command {
	return []Command{
		{Name: "git setup", Summary: "Show how to push an app with git", Who: User, App: NeedsApp, Hidden: true, Run: gitSetup},
		{Name: "app branch", Summary: "Choose the branch whose pushes deploy", Who: Deployer, Usage: "BRANCH", App: NeedsApp, Min: 1, Max: 1, Run: appBranch},
	}
}

func appBranch(ctx context.Context, c *Call) ([]api.Item, error) {
	branch := c.Args[0]
	if err := c.Platform.SetDeployBranch(ctx, c.Actor(), c.App, branch); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("App '%s' deploys from the branch '%s'. It does at the next push of it.", c.App, branch),
		api.Summary("set the deploy branch of %s.", c.App),
	}, nil
}

func gitSetup(_ context.Context, c *Call) ([]api.Item, error) {
	if err := hop3.ValidateAppName(c.App); err != nil {
		return nil, err
	}
	s := c.Platform.Settings
	remote := fmt.Sprintf("hop3@%s:%s", s.BaseDomain, c.App)
	if s.SSHPort != 22 {
		remote = fmt.Sprintf("ssh://hop3@%s:%d/%s", s.BaseDomain, s.SSHPort, c.App)
	}
	return []api.Item{
		api.Success("Git deployment enabled for '%s'", c.App),
		api.Text("Add the remote once:"),
		api.Text("  git remote add hop3 %s", remote),
		api.Text("and deploy with:"),
		api.Text("  git push hop3 main"),
		api.Text("Your public key must be known: hop3 key add ~/.ssh/id_ed25519.pub"),
	}, nil
}
