package command

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func routeCommands() []Command {
	return []Command{
		{Name: "route list", Aliases: []string{"routes"}, Summary: "List the hosts that are served, and whose they are", Who: Admin, Run: routeList},
	}
}

// routeList asks the database only: the host runs it also when no server does.
func routeList(ctx context.Context, c *Call) ([]api.Item, error) {
	hosts, err := c.Platform.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.Platform.Store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	apps := make(map[string]hop3.App, len(all))
	for _, app := range all {
		apps[app.Name] = app
	}
	if len(hosts) == 0 {
		return []api.Item{api.Text("No hosts are served.")}, nil
	}
	table := api.Table([]string{"Host", "App", "Release", "State"})
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		app := apps[hosts[host]]
		release, state := "-", app.State.String()
		if app.Live > 0 {
			release = fmt.Sprintf("v%d", app.Live)
		}
		if app.Asleep {
			state = "ASLEEP"
		}
		table.Rows = append(table.Rows, []any{host, hosts[host], release, state})
	}
	return []api.Item{table}, nil
}
