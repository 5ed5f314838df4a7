package command

import (
	"context"
	"fmt"
	"runtime"

	"github.com/abilian/hop3/hop3/api"
)

func systemCommands() []Command {
	return []Command{
		{Name: "system info", Summary: "Show what the server is", Run: systemInfo},
		{Name: "system status", Summary: "Say how the server and its apps are", Who: Admin, Run: systemStatus,
			Flags: []Flag{{Name: "json", Help: "as one object, for programs"}}},
		{Name: "system logs", Summary: "Show the server's own log", Who: Admin, Run: systemLogs, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many lines, the last ones (100)"},
			{Name: "since", Value: "TIME", Help: "only lines written since: 10m, 2h30m, 3d, 2026-11-24 10:00 (UTC), or RFC 3339"},
			{Name: "level", Value: "LEVEL", Help: "debug, info, warn or error: this and what is worse"},
			{Name: "grep", Value: "TEXT", Help: "only lines with this text"},
		}},
		{Name: "system cleanup", Summary: "Remove what deploys have made and can make again", Who: Admin, Run: systemCleanup, Flags: []Flag{
			{Name: "dry-run", Help: "only say what that would be"},
			{Name: "all", Help: "keep of each app only the live release and the one before it"},
		}},
		{Name: "plugin list", Aliases: []string{"plugins"}, Summary: "List what is built into the server", Run: pluginList},
	}
}

func systemInfo(ctx context.Context, c *Call) ([]api.Item, error) {
	apps, err := c.Platform.Store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	s := c.Platform.Settings
	return []api.Item{
		api.Text("Version: %s", c.commands.server.Version),
		api.Text("Go: %s, %s/%s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		api.Text("Apps: %d, at <app>.%s", len(apps), s.BaseDomain),
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
