package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func previewCommands() []Command {
	return []Command{
		{Name: "preview list", Summary: "List an app's previews", Who: Viewer, App: NeedsApp, Run: previewList},
		{Name: "preview remove", Summary: "Destroy the preview of a branch", Who: Deployer, Usage: "BRANCH", App: NeedsApp, Min: 1, Max: 1, Run: previewRemove},
		{Name: "preview extend", Summary: "Let the preview of a branch last longer", Who: Deployer, Usage: "BRANCH", App: NeedsApp, Min: 1, Max: 1, Run: previewExtend,
			Flags: []Flag{{Name: "days", Value: "N", Help: "from now; the server's default if not said"}}},
		{Name: "preview on", Summary: "Serve every other branch that is pushed", Who: Deployer, App: NeedsApp, Run: previewOn},
		{Name: "preview off", Summary: "Serve other branches only with -o preview", Who: Deployer, App: NeedsApp, Run: previewOff},
	}
}

// previewFlag has the commands about variables act on those of previews.
var previewFlag = Flag{Name: "preview", Help: "those of the app's previews only"}

func previewList(ctx context.Context, c *Call) ([]api.Item, error) {
	all, err := c.Platform.Previews(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return []api.Item{api.Text("App '%s' has no previews. 'git push -o preview' of another branch makes one.", c.App)}, nil
	}
	table := api.Table([]string{"Branch", "App", "Status", "Release", "Expires", "URL"})
	for _, s := range all {
		state := s.App.State.String()
		switch {
		case s.Crashed:
			state = "CRASHED"
		case s.App.Asleep:
			state = "ASLEEP"
		}
		table.Rows = append(table.Rows, []any{
			s.App.Preview.Branch, s.App.Name, state, describe(s.Release), stamp(s.App.Preview.Expires), strings.Join(s.URLs[:min(1, len(s.URLs))], ""),
		})
	}
	return []api.Item{table}, nil
}

func previewRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	var out lines
	if err := c.Platform.RemovePreview(ctx, c.Actor(), c.App, c.Args[0], &out); err != nil {
		return nil, out.failed(err)
	}
	return append(out.items(),
		api.Text("The preview of '%s' is gone. Its branch is still there.", c.Args[0]),
		api.Summary("removed a preview of %s.", c.App)), nil
}

// maxPreviewDays bounds how long a preview can be made to last at a time.
const maxPreviewDays = 366

func previewExtend(ctx context.Context, c *Call) ([]api.Item, error) {
	days, err := c.number("days", 0, maxPreviewDays)
	if err != nil {
		return nil, err
	}
	until, err := c.Platform.ExtendPreview(ctx, c.Actor(), c.App, c.Args[0], time.Duration(days)*24*time.Hour)
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("The preview of '%s' lasts until %s UTC.", c.Args[0], stamp(until)),
		api.Summary("extended a preview of %s.", c.App),
	}, nil
}

func previewOn(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.ServePreviews(ctx, c.Actor(), c.App, true); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("Every other branch that is pushed to '%s' is served as a preview from now on.", c.App),
		api.Summary("turned the previews of %s on.", c.App),
	}, nil
}

func previewOff(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.ServePreviews(ctx, c.Actor(), c.App, false); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("Other branches pushed to '%s' are stored only, unless they are pushed with -o preview.", c.App),
		api.Summary("turned the previews of %s off.", c.App),
	}, nil
}

// changePreviewEnv is changeEnv for the variables of previews.
func (c *Call) changePreviewEnv(ctx context.Context, set hop3.Env, unset []string) ([]api.Item, error) {
	if err := c.Platform.SetPreviewEnv(ctx, c.Actor(), c.App, set, unset); err != nil {
		return nil, err
	}
	names := append(set.Keys(), unset...)
	return []api.Item{
		api.Text("Changed %s for the previews of '%s'. Each gets it with its next push.", strings.Join(names, ", "), c.App),
		api.Summary("changed the preview variables of %s.", c.App),
	}, nil
}

// previewEnv is envShow for the variables of previews.
func (c *Call) previewEnv(ctx context.Context) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(s.App.PreviewEnv) == 0 {
		return []api.Item{api.Text("No variables are set for the previews of '%s' alone.", c.App)}, nil
	}
	return c.envTable(fmt.Sprintf("Configured environment for the previews of '%s':", c.App), s.App.PreviewEnv), nil
}
