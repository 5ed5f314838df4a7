package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func planCommands() []Command {
	return []Command{
		{Name: "plan", Aliases: []string{"app plan"}, Summary: "Say what a deploy of a directory would do", Usage: "[DIRECTORY]",
			Who: Creator, App: NeedsApp, Max: 1, Run: plan,
			Flags: []Flag{{Name: "env", Short: "e", Value: "KEY=VALUE", Help: "as it would be set before the build"}}},
		{Name: "app upgrade", Summary: "Deploy an app anew, with what is newest", Who: Deployer, App: NeedsApp, Run: appUpgrade,
			Flags: []Flag{
				{Name: "no-backup", Help: "make no backup before"},
				{Name: "no-stream", Help: "answer when all is done"},
			}},
	}
}

// plan looks at the uploaded archive.
func plan(ctx context.Context, c *Call) (items []api.Item, err error) {
	upload := c.takeUpload()
	if upload == nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "A plan is made of the files of a directory, which only a client can send.").
			WithHint("Run `hop3 plan` in the directory, or `hop3 plan DIRECTORY`.")
	}
	defer func() { err = errors.Join(err, closeUpload(upload)) }()
	vars, err := c.envFlags()
	if err != nil {
		return nil, err
	}
	p, err := c.Platform.Plan(ctx, c.Actor(), platform.DeployRequest{
		App: c.App, Kind: hop3.ReleaseUpload, Source: upload, Env: vars.Merge(c.Extra.Env), Out: hop3.Discard,
	})
	if err != nil {
		return nil, err
	}
	return planItems(p), nil
}

func planItems(p platform.Plan) []api.Item {
	var items []api.Item
	for _, problem := range p.Problems {
		failure := api.Failure("%s", problem)
		failure.ExitCode = api.ExitDeploy
		items = append(items, failure)
	}
	for _, note := range p.Notes {
		items = append(items, api.Warning("%s", note))
	}
	now := "-"
	switch {
	case p.New:
		items = append(items, api.Text("A deploy would create the app '%s'.", p.App))
	case p.Live.Number == 0:
		items = append(items, api.Text("A deploy would be the first release of '%s' to serve.", p.App))
	default:
		now = describe(p.Live)
		items = append(items, api.Text("A deploy would take the place of %s of '%s'.", now, p.App))
	}
	steps := api.Table([]string{"When", "What"})
	if p.Builder != "" {
		steps.Rows = append(steps.Rows, []any{"build", strings.TrimSuffix(fmt.Sprintf("by the builder '%s': %s", p.Builder, oneLine(p.Reason)), ": ")})
	}
	for _, s := range p.Steps {
		steps.Rows = append(steps.Rows, []any{s.When, s.Command})
	}
	if len(steps.Rows) > 0 {
		items = append(items, steps)
	}
	switch {
	case len(p.Differences) > 0:
		table := api.Table([]string{"Property", "Now", "Then"})
		for _, d := range p.Differences {
			table.Rows = append(table.Rows, []any{d.Property, orDash(d.Old), orDash(d.New)})
		}
		items = append(items, table)
	case len(p.Problems) == 0:
		items = append(items, api.Text("But for the files nothing would be different."))
	}
	if len(p.Problems) > 0 {
		return append(items, api.Text("It would fail; what serves now would serve on."))
	}
	return append(items, api.Text("Nothing was done. `hop3 deploy --app %s` does it.", p.App))
}

// appUpgrade makes a backup and deploys what is newest in the app's source or, of an app without
// one, its commit with the packages of now. When that fails, what served before
// serves on.
func appUpgrade(ctx context.Context, c *Call) ([]api.Item, error) {
	before, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if before.Release.Number == 0 {
		return nil, hop3.Errorf(hop3.CodeConflict, "App '%s' has never been deployed.", c.App).
			WithHint("Push to it with git, or run `hop3 deploy --app %s`.", c.App)
	}
	backup := ""
	items, err := c.deploying(ctx, func(ctx context.Context, out hop3.Output) error {
		if !c.Has("no-backup") {
			b, err := c.Platform.CreateBackup(ctx, c.Actor(), platform.BackupRequest{App: c.App, Label: "pre-upgrade", Out: out})
			if err != nil {
				return err
			}
			backup = b.ID
		}
		if err := c.upgrade(ctx, before.App.Source, out); err != nil {
			if backup == "" {
				return err
			}
			return hop3.Errorf(hop3.CodeOf(err), "%s", hop3.MessageOf(err)).
				WithHint("v%d serves on. What the upgrade may have changed of its data, `hop3 backup restore %s` brings back.", before.Release.Number, backup)
		}
		return nil
	}, nil)
	if n := len(items); n > 1 && items[n-1].T == api.KindSummary {
		done := fmt.Sprintf("App '%s' upgraded.", c.App)
		if backup != "" {
			done = fmt.Sprintf("App '%s' upgraded (pre-upgrade backup: %s).", c.App, backup)
		}
		items = append(items[:n-2], api.Text("%s\n`hop3 rollback v%d --app %s` takes it back.", done, before.Release.Number, c.App), api.Summary("upgraded %s.", c.App))
	}
	return items, err
}

// upgrade deploys what is newest, of an app with a source from there.
func (c *Call) upgrade(ctx context.Context, source string, out hop3.Output) error {
	if source != "" {
		_, err := c.Platform.DeploySource(ctx, c.Actor(), platform.SourceRequest{App: c.App, Out: out})
		return err
	}
	_, err := c.Platform.Redeploy(ctx, c.Actor(), c.App, nil, nil, out)
	return err
}
