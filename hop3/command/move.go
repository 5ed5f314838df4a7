package command

import (
	"context"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func moveCommands() []Command {
	cancel := Flag{Name: "cancel", Help: "end the move that is under way"}
	return []Command{
		{Name: "app move", Summary: "Move an app to another server while it serves", Usage: "SERVER SECRET", Who: Deployer, App: NeedsApp, Max: 2, Run: appMove, Flags: []Flag{
			{Name: "max-hold", Value: "DURATION", Help: "how long its requests may wait at the switch (1m)"},
			cancel,
			{Name: "take-back", Help: "run it here again, as it was: when the other server is lost"},
		}},
		{Name: "app receive", Summary: "Let another server move an app here", Who: Creator, App: NeedsApp, Run: appReceive, Flags: []Flag{
			{Name: "cancel", Help: "let it come no more, and remove what has come of it"},
		}},
	}
}

func appMove(ctx context.Context, c *Call) ([]api.Item, error) {
	if c.Has("cancel") {
		if err := c.Platform.CancelMove(ctx, c.Actor(), c.App); err != nil {
			return nil, err
		}
		return []api.Item{api.Text("The move of '%s' ends.", c.App), api.Summary("canceled the move of %s.", c.App)}, nil
	}
	if c.Has("take-back") {
		var out lines
		if err := c.Platform.TakeBack(ctx, c.Actor(), c.App, &out); err != nil {
			return nil, out.failed(err)
		}
		return append(out.items(), api.Text("'%s' runs here.", c.App), api.Summary("took %s back.", c.App)), nil
	}
	req := platform.MoveRequest{App: c.App}
	if len(c.Args) != 2 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "Where to? Give the other server's address, and what `hop3 app receive --app %s` says there.", c.App).
			WithHint("With a context for the other server, `hop3 app move %s CONTEXT` asks it.", c.App)
	}
	req.Server, req.Secret = c.Args[0], c.Args[1]
	if text := c.Value("max-hold"); text != "" {
		var err error
		if req.MaxHold, err = time.ParseDuration(text); err != nil || req.MaxHold <= 0 {
			return nil, hop3.Errorf(hop3.CodeInvalid, "--max-hold wants a time like 30s or 2m, not %.40q", text)
		}
	}
	return c.working(ctx, "move "+c.App, func(ctx context.Context, out hop3.Output) ([]api.Item, error) {
		req.Out = out
		answer, err := c.Platform.MoveApp(ctx, c.Actor(), req)
		if err != nil {
			return nil, err
		}
		items := []api.Item{api.Text("'%s' runs on %s now. What it had here is kept until `hop3 app destroy --app %s`.", c.App, req.Server, c.App)}
		for _, url := range answer.URLs {
			items = append(items, api.Text("  %s", platform.ShownURL(url)))
		}
		return append(items, api.Summary("moved %s to %s.", c.App, req.Server)), nil
	})
}

func appReceive(ctx context.Context, c *Call) ([]api.Item, error) {
	if c.Has("cancel") {
		if err := c.Platform.CancelReceive(ctx, c.Actor(), c.App); err != nil {
			return nil, err
		}
		return []api.Item{api.Text("'%s' does not come any more.", c.App), api.Summary("'%s' does not come.", c.App)}, nil
	}
	secret, err := c.Platform.ReceiveApp(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("%s", secret),
		api.Text("This secret, shown once, lets another server move an app here as '%s' within a day:", c.App),
		api.Text("  hop3 app move %s %s --secret-file FILE", c.App, c.Platform.ControlURL()),
		api.Summary("'%s' may come.", c.App),
	}, nil
}
