package command

import (
	"context"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func psCommands() []Command {
	return []Command{
		{Name: "ps", Summary: "Show an app's process types", Who: Viewer, App: NeedsApp, Run: ps},
		{Name: "ps scale", Aliases: []string{"scale"}, Summary: "Say how many of a process run", Who: Deployer, Usage: "TYPE=COUNT…", App: NeedsApp, Min: 1, Max: Any, Run: psScale},
	}
}

func ps(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(s.Release.Processes) == 0 {
		return []api.Item{api.Text("No process information found for app '%s'. Has it been deployed?", c.App)}, nil
	}
	table := api.Table([]string{"Process Type", "Count"})
	for _, p := range s.Release.Processes {
		if p.Type == hop3.ProcessCron {
			continue // of a release of before cron had entries of its own
		}
		table.Rows = append(table.Rows, []any{p.Type, strconv.Itoa(p.Count)})
	}
	return []api.Item{table}, nil
}

func psScale(ctx context.Context, c *Call) ([]api.Item, error) {
	counts := make(map[string]int)
	for _, arg := range c.Args {
		name, value, ok := strings.Cut(arg, "=")
		n, err := strconv.Atoi(value)
		if !ok || err != nil {
			return nil, hop3.Errorf(hop3.CodeInvalid, "Malformed setting '%.80s'", arg).WithHint("Write web=2, for example.")
		}
		counts[name] = n
	}
	var out lines
	if err := c.Platform.Scale(ctx, c.Actor(), c.App, counts, &out); err != nil {
		return nil, out.failed(err)
	}
	items := append([]api.Item{api.Text("Scaling app '%s'...", c.App)}, out.items()...)
	return append(items, api.Summary("scaled %s: %s.", c.App, strings.Join(c.Args, " "))), nil
}
