package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/archive"
	"github.com/abilian/hop3/hop3/platform"
)

func deployCommands() []Command {
	return []Command{
		{Name: "deploy", Summary: "Deploy the files of a directory", Who: Creator, Usage: "[DIRECTORY or URL]", App: NeedsApp, Max: Any, Lenient: true, Run: deploy, Flags: []Flag{
			{Name: "env", Short: "e", Value: "KEY=VALUE", Help: "set a variable before the build"},
			branchFlag,
			canaryFlag,
			{Name: "no-stream", Help: "answer when all is done"},
		}},
		{Name: "deploy cancel", Summary: "End the deploy that is under way", Who: Deployer, App: NeedsApp, Run: deployCancel},
		{Name: "redeploy", Aliases: []string{"app redeploy"}, Summary: "Build the live commit again and deploy it", Who: Deployer, App: NeedsApp, Run: redeploy, Flags: []Flag{
			canaryFlag,
			{Name: "no-stream", Help: "answer when all is done"},
		}},
	}
}

var canaryFlag = Flag{Name: "canary", Value: "CANARY", Optional: true, Help: "try it out first: \"10% for 5m errors 1% p99 500ms\""}

// canary returns what --canary says, nil when it is not given.
func (c *Call) canary() (*hop3.Canary, error) {
	if !c.Has(canaryFlag.Name) {
		return nil, nil
	}
	return platform.CanaryFlag(c.Value(canaryFlag.Name))
}

// deploy deploys the uploaded archive or, without one, what is live once more.
func deploy(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := hop3.ValidateAppName(c.App); err != nil {
		return nil, err
	}
	canary, err := c.canary()
	if err != nil {
		return nil, err
	}
	upload := c.takeUpload()
	if upload == nil && len(c.Args) > 0 && hop3.LooksLikeRepoURL(c.Args[0]) {
		return c.deployURL(ctx, c.Args[0], canary)
	}
	return c.deploying(ctx, func(ctx context.Context, out hop3.Output) error {
		return c.deployTo(ctx, upload, canary, out)
	}, upload)
}

// deployURL deploys a repository elsewhere, and makes the app when there is
// none.
func (c *Call) deployURL(ctx context.Context, address string, canary *hop3.Canary) ([]api.Item, error) {
	if err := hop3.ValidateRepoURL(address); err != nil {
		return nil, err
	}
	return c.deploying(ctx, func(ctx context.Context, out hop3.Output) error {
		req := platform.SourceRequest{App: c.App, Address: address, Branch: c.Value(branchFlag.Name), Env: c.Extra.Env, Canary: canary, Out: out}
		do := c.Platform.DeploySource
		if _, err := c.Platform.AppStatus(ctx, c.Actor(), c.App); hop3.CodeOf(err) == hop3.CodeNotFound {
			do = c.Platform.CreateFromSource
		}
		_, err := do(ctx, c.Actor(), req)
		return err
	}, nil)
}

func redeploy(ctx context.Context, c *Call) ([]api.Item, error) {
	canary, err := c.canary()
	if err != nil {
		return nil, err
	}
	return c.deploying(ctx, func(ctx context.Context, out hop3.Output) error {
		_, err := c.Platform.Redeploy(ctx, c.Actor(), c.App, nil, canary, out)
		return err
	}, nil)
}

// deploying answers a command that deploys. A deploy that is followed as a
// stream is the server's: it goes on when the client leaves. work closes the
// upload, unless it is not called.
func (c *Call) deploying(ctx context.Context, work func(context.Context, hop3.Output) error, upload *archive.Archive) ([]api.Item, error) {
	if !c.Extra.Streaming || c.Has("no-stream") {
		return c.deployNow(ctx, work)
	}
	log := c.Streams.New(c.App, c.User.Username)
	started := c.Platform.Go("deploy "+c.App, func(ctx context.Context) {
		success, why := false, "The deployment ended unexpectedly; the server's log says more."
		defer func() { log.Finish(success, why) }() // also when it panics
		if err := work(ctx, log); err != nil {
			why = deployFailure(err).Message
			return
		}
		success, why = true, ""
	})
	if !started {
		log.Finish(false, "The server is shutting down.")
		return nil, errors.Join(hop3.Errorf(hop3.CodeUnavailable, "The server is shutting down. Try again in a moment."), closeUpload(upload))
	}
	return []api.Item{api.Stream(log.ID)}, nil
}

// deployCancel ends a deploy, whoever asked for it and by whichever door.
func deployCancel(ctx context.Context, c *Call) ([]api.Item, error) {
	release, err := c.Platform.CancelDeploy(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	what := "The deploy of '" + c.App + "' that was waiting"
	if release > 0 {
		what = fmt.Sprintf("The deploy of v%d of '%s'", release, c.App)
	}
	return []api.Item{api.Text("%s is canceled; what served before serves on.", what), api.Summary("canceled the deploy of %s.", c.App)}, nil
}

func (c *Call) deployNow(ctx context.Context, work func(context.Context, hop3.Output) error) ([]api.Item, error) {
	var out lines
	if err := work(ctx, &out); err != nil {
		return nil, out.failed(deployFailure(err))
	}
	return append(out.items(),
		api.Text("App '%s' deployed successfully.", c.App),
		api.Summary("deployed %s.", c.App)), nil
}

func (c *Call) deployTo(ctx context.Context, upload *archive.Archive, canary *hop3.Canary, out hop3.Output) (err error) {
	if upload == nil {
		switch again, err := c.Platform.Redeployable(ctx, c.Actor(), c.App); {
		case err != nil:
			return err
		case again:
			_, err := c.Platform.Redeploy(ctx, c.Actor(), c.App, c.Extra.Env, canary, out)
			return err
		}
		if len(c.Extra.Env) > 0 {
			if _, err := c.Platform.SetEnv(ctx, c.Actor(), c.App, c.Extra.Env, nil, out); err != nil {
				return err
			}
		}
		return c.Platform.RestartApp(ctx, c.Actor(), c.App, out)
	}
	defer func() { err = errors.Join(err, closeUpload(upload)) }()
	_, err = c.Platform.Deploy(ctx, c.Actor(), platform.DeployRequest{
		App: c.App, Kind: hop3.ReleaseUpload, Source: upload, Env: c.Extra.Env, Canary: canary, Out: out,
	})
	return err
}

// deployFailure words an error so that also clients that know no code for it
// see that the deploy failed. What is invalid by now is in the source, not in
// the command line.
func deployFailure(err error) *hop3.Error {
	code := hop3.CodeOf(err)
	if code == hop3.CodeInvalid {
		code = hop3.CodeDeploy
	}
	return &hop3.Error{Code: code, Message: "Deploy failed: " + hop3.MessageOf(err), Err: err}
}

func closeUpload(upload *archive.Archive) error {
	if upload == nil {
		return nil
	}
	if err := upload.Close(); err != nil {
		return fmt.Errorf("removing the upload: %w", err)
	}
	return nil
}
