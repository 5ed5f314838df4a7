package command

import (
	"context"
	"fmt"
	"runtime"

	"github.com/abilian/hop3/hop3/api"
)

func systemCommands() []Command {
	return []Command{
		{Name: "system info", Summary: "Show what the server is", Who: User, Run: systemInfo},
		{Name: "plugin list", Aliases: []string{"plugins"}, Summary: "List what is built into the server", Who: User, Run: pluginList},
	}
}

func systemInfo(ctx context.Context, c *Call) ([]api.Item, error) {
	names, err := c.Platform.AppNames(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	s := c.Platform.Settings
	return []api.Item{
		api.Text("Version: %s", c.commands.server.Version),
		api.Text("Go: %s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		api.Text("Apps: %d, at <app>.%s", len(names), s.BaseDomain),
		api.Text("Ports: %s", ports(s.HTTPPort, s.HTTPSPort, s.SSHPort)),
	}, nil
}

func ports(http, https, ssh int) string {
	port := func(name string, n int) string {
		if n == 0 {
			return name + " closed"
		}
		return fmt.Sprintf("%s %d", name, n)
	}
	return port("HTTP", http) + ", " + port("HTTPS", https) + ", SSH " + fmt.Sprint(ssh)
}

func pluginList(_ context.Context, c *Call) ([]api.Item, error) {
	plugins := c.commands.server.Plugins()
	if len(plugins) == 0 {
		return []api.Item{api.Text("No external plugins with commands found.")}, nil
	}
	table := api.Table([]string{"Plugin", "Provided Commands"})
	for _, p := range plugins {
		table.Rows = append(table.Rows, []any{p.Name, p.Provides})
	}
	return []api.Item{table}, nil
}
