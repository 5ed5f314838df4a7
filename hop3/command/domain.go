package command

import (
	"context"

	"github.com/abilian/hop3/hop3/api"
)

func domainCommands() []Command {
	return []Command{
		{Name: "domain list", Aliases: []string{"domains list"}, Summary: "List the host names of an app", App: NeedsApp, Run: domainList},
	}
}

func domainList(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.App)
	if err != nil {
		return nil, err
	}
	if len(s.Release.Hosts) == 0 {
		return []api.Item{api.Text("App '%s' has no host names before its first deploy.", c.App)}, nil
	}
	table := api.Table([]string{"Hostname"})
	for _, h := range s.Release.Hosts {
		table.Rows = append(table.Rows, []any{h})
	}
	return []api.Item{table}, nil
}
