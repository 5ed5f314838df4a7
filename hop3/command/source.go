package command

import (
	"context"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

// branchFlag is of the commands that fetch.
var branchFlag = Flag{Name: "branch", Value: "BRANCH", Help: "which to deploy; the default one of the repository if not said"}

func sourceCommands() []Command {
	return []Command{
		{Name: "app create", Aliases: []string{"app launch"}, Summary: "Create an app, empty or from the URL of a repository", Who: Creator, Usage: "[NAME] [URL]", App: TakesApp, Max: 2, Run: appCreate, Flags: []Flag{
			branchFlag,
			{Name: "env", Short: "e", Value: "KEY=VALUE", Help: "set a variable before the build"},
			{Name: "no-stream", Help: "answer when all is done"},
		}},
		{Name: "app source", Summary: "Show or choose the repository an app is fetched from", Who: Deployer, Usage: "[URL]", App: NeedsApp, Max: 1, Run: appSource,
			Flags: []Flag{{Name: "remove", Help: "fetch it from nowhere any more"}}},
		{Name: "app fetch", Summary: "Deploy what is newest in an app's source", Who: Deployer, App: NeedsApp, Run: appFetch,
			Flags: []Flag{{Name: "no-stream", Help: "answer when all is done"}}},
	}
}

// appCreate makes an app, and deploys it when there is an address to get it
// from.
func appCreate(ctx context.Context, c *Call) ([]api.Item, error) {
	address, err := c.createArgs()
	if err != nil {
		return nil, err
	}
	vars, err := c.envFlags()
	if err != nil {
		return nil, err
	}
	if address == "" {
		if len(vars) > 0 || c.Has(branchFlag.Name) {
			return nil, hop3.Errorf(hop3.CodeInvalid, "--env and --branch are for an app that is created from an address.")
		}
		if _, err := c.Platform.CreateApp(ctx, c.Actor(), c.App); err != nil {
			return nil, err
		}
		return []api.Item{
			api.Text("App '%s' created.\nRun 'hop3 deploy --app %s' in its directory, or push it with git.", c.App, c.App),
			api.Summary("created %s.", c.App),
		}, nil
	}
	// Said at once, and not as the failure of a deploy.
	if _, err := c.Platform.AppStatus(ctx, c.Actor(), c.App); err == nil {
		return nil, hop3.Errorf(hop3.CodeConflict, "App '%s' already exists.", c.App)
	}
	items, err := c.deploying(ctx, func(ctx context.Context, out hop3.Output) error {
		_, err := c.Platform.CreateFromSource(ctx, c.Actor(), platform.SourceRequest{
			App: c.App, Address: address, Branch: c.Value(branchFlag.Name), Env: vars, Out: out,
		})
		return err
	}, nil)
	if n := len(items); n > 0 && items[n-1].T != api.KindStream {
		// Clients of Hop3 (Python) wait for these words.
		items = append(items[:n-1], api.Text("App '%s' launched successfully from URL.", c.App), items[n-1])
	}
	return items, err
}

// createArgs sorts out the name, which becomes c.App, and the address.
func (c *Call) createArgs() (address string, err error) {
	const usage = "Usage: hop3 app create NAME, or hop3 app create [NAME] URL"
	for _, arg := range c.Args {
		switch isAddress := hop3.LooksLikeRepoURL(arg) || strings.ContainsAny(arg, ":/"); {
		case isAddress && address == "":
			address = arg
		case !isAddress && c.App == "":
			c.App = arg
		case !isAddress:
			return "", hop3.Errorf(hop3.CodeInvalid, "Give the app's name once.")
		default:
			return "", hop3.Errorf(hop3.CodeInvalid, usage)
		}
	}
	if address != "" {
		if err := hop3.ValidateRepoURL(address); err != nil {
			return "", err
		}
		if c.App == "" {
			c.App = hop3.AppNameOf(address)
		}
	}
	if c.App == "" {
		return "", hop3.Errorf(hop3.CodeInvalid, usage)
	}
	return address, hop3.ValidateAppName(c.App)
}

// envFlags returns what --env says.
func (c *Call) envFlags() (hop3.Env, error) {
	vars := hop3.Env{}
	for _, pair := range c.flags["env"] {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, hop3.Errorf(hop3.CodeInvalid, "'%.80s' is not KEY=VALUE", pair)
		}
		vars[k] = v
	}
	return vars, nil
}

func appSource(ctx context.Context, c *Call) ([]api.Item, error) {
	switch {
	case c.Has("remove") && len(c.Args) > 0:
		return nil, hop3.Errorf(hop3.CodeInvalid, "Give an address or --remove, not both.")
	case c.Has("remove"):
		if err := c.Platform.SetSource(ctx, c.Actor(), c.App, ""); err != nil {
			return nil, err
		}
		return []api.Item{api.Text("App '%s' has no source any more.", c.App), api.Summary("removed the source of %s.", c.App)}, nil
	case len(c.Args) == 1:
		if err := c.Platform.SetSource(ctx, c.Actor(), c.App, c.Args[0]); err != nil {
			return nil, err
		}
		return []api.Item{
			api.Text("App '%s' is fetched from %s.\nRun 'hop3 app fetch --app %s' to deploy it.", c.App, hop3.RedactRepoURL(c.Args[0]), c.App),
			api.Summary("set the source of %s.", c.App),
		}, nil
	}
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if s.App.Source == "" {
		return []api.Item{api.Text("App '%s' has no source. 'hop3 app source URL --app %s' gives it one.", c.App, c.App)}, nil
	}
	return []api.Item{api.Text("%s", hop3.RedactRepoURL(s.App.Source))}, nil
}

func appFetch(ctx context.Context, c *Call) ([]api.Item, error) {
	if s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App); err != nil || s.App.Source == "" {
		if err == nil {
			err = hop3.Errorf(hop3.CodeConflict, "App '%s' has no source.", c.App).WithHint("'hop3 app source URL --app %s' gives it one.", c.App)
		}
		return nil, err
	}
	return c.deploying(ctx, func(ctx context.Context, out hop3.Output) error {
		_, err := c.Platform.DeploySource(ctx, c.Actor(), platform.SourceRequest{App: c.App, Out: out})
		return err
	}, nil)
}
