package command

import (
	"context"

	"github.com/abilian/hop3/hop3/api"
)

func diffCommands() []Command {
	return []Command{{
		Name: "diff", Aliases: []string{"app diff", "releases diff"}, Usage: "[vN [vM]]",
		Summary: "Show what two releases differ in",
		Who:     Viewer, App: NeedsApp, Max: 2, Run: diff,
	}}
}

func diff(ctx context.Context, c *Call) ([]api.Item, error) {
	var numbers [2]int
	for i, word := range c.Args {
		n, err := releaseNumber(word)
		if err != nil {
			return nil, err
		}
		numbers[i] = n
	}
	d, err := c.Platform.Diff(ctx, c.Actor(), c.App, numbers[0], numbers[1])
	if err != nil {
		return nil, err
	}
	old, new := describe(d.Old), describe(d.New)
	if len(d.Differences)+len(d.Files) == 0 {
		return []api.Item{api.Text("%s and %s of '%s' are the same.", old, new, c.App)}, nil
	}
	items := []api.Item{api.Text("%s and %s of '%s':", old, new, c.App)}
	if len(d.Differences) > 0 {
		table := api.Table([]string{"Property", old, new})
		for _, p := range d.Differences {
			table.Rows = append(table.Rows, []any{p.Property, orDash(p.Old), orDash(p.New)})
		}
		items = append(items, table)
	}
	if len(d.Files) > 0 {
		table := api.Table([]string{"File", "Change"})
		for _, f := range d.Files {
			table.Rows = append(table.Rows, []any{f.Path, f.How})
		}
		items = append(items, table)
	}
	if d.More > 0 {
		items = append(items, api.Text("and %d more files", d.More))
	}
	return items, nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
