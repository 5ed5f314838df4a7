package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func wafCommands() []Command {
	return []Command{
		{Name: "waf status", Summary: "Show the apps that have a firewall", Run: wafStatus},
		{Name: "waf logs", Summary: "Show what firewalls refused", Usage: "[APP]", Max: 1, Run: wafLogs,
			Flags: []Flag{{Name: "lines", Short: "n", Value: "N", Help: "how many, 100 unless said"}}},
		{Name: "waf bans list", Aliases: []string{"waf bans"}, Summary: "List the clients that apps are closed to", Run: wafBans},
		{Name: "waf bans clear", Summary: "Open an app to those it is closed to", Usage: "APP [ADDRESS]", Min: 1, Max: 2, Run: wafClear},
		{Name: "waf reconcile-bans", Summary: "Make the stored bans those in force", Who: Admin, Run: wafReconcile},
		{Name: "network list", Aliases: []string{"networks"}, Summary: "List the networks that gates can be open to", Run: networkList},
		{Name: "network show", Summary: "Show a network and whose gates are open to it", Usage: "NAME", Min: 1, Max: 1, Run: networkShow},
		{Name: "network add", Summary: "Give addresses a name, or a name other addresses", Usage: "NAME CIDR…", Who: Admin, Min: 2, Max: Any, Run: networkAdd},
		{Name: "network remove", Aliases: []string{"network rm"}, Summary: "Forget a network that no gate is open to", Usage: "NAME", Who: Admin, Min: 1, Max: 1, Run: networkRemove},
	}
}

// wafStatus says "-" of the port: the firewall is in the server itself, behind
// whatever proxy stands in front, and needs none.
func wafStatus(ctx context.Context, c *Call) ([]api.Item, error) {
	list, err := c.Platform.Firewalls(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return []api.Item{api.Text("No app has a firewall. [waf] in its hop3.toml gives it one.")}, nil
	}
	table := api.Table([]string{"App", "Proxy port", "Proxy", "Active bans"})
	for _, s := range list {
		mode := "blocks"
		if s.WAF.Detect {
			mode = "detects only"
		}
		table.Rows = append(table.Rows, []any{s.App, "-", fmt.Sprintf("in the server: %s, paranoia %d", mode, s.WAF.Paranoia), s.Bans})
	}
	return []api.Item{table}, nil
}

func wafLogs(ctx context.Context, c *Call) ([]api.Item, error) {
	n := 100
	if text := c.Value("lines"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > 10_000 {
			return nil, hop3.Errorf(hop3.CodeInvalid, "--lines is a number from 1 to 10000")
		}
	}
	app := strings.Join(c.Args, "")
	events, err := c.Platform.FirewallEvents(ctx, app, n)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return []api.Item{api.Text("No firewall has refused anything.")}, nil
	}
	table := api.Table([]string{"Time (UTC)", "App", "Source", "Action", "Rule", "Path"})
	for _, e := range events {
		table.Rows = append(table.Rows, []any{e.Time.UTC().Format(time.DateTime), e.App, e.Source, e.Action, e.Rule, e.Path})
	}
	return []api.Item{table}, nil
}

func wafBans(ctx context.Context, c *Call) ([]api.Item, error) {
	bans, err := c.Platform.Bans(ctx)
	if err != nil {
		return nil, err
	}
	if len(bans) == 0 {
		return []api.Item{api.Text("Nobody is banned.")}, nil
	}
	table := api.Table([]string{"App", "Source", "Reason", "Expires (UTC)"})
	for _, b := range bans {
		table.Rows = append(table.Rows, []any{b.App, b.Source, b.Reason, b.Expires.UTC().Format(time.DateTime)})
	}
	return []api.Item{table}, nil
}

func wafClear(ctx context.Context, c *Call) ([]api.Item, error) {
	source := ""
	if len(c.Args) > 1 {
		source = c.Args[1]
	}
	n, err := c.Platform.ClearBans(ctx, c.Args[0], source)
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("Ended %d bans of '%s'.", n, c.Args[0])}, nil
}

func wafReconcile(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.ReconcileBans(ctx); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("The stored bans are in force, and no others.")}, nil
}

func networkList(ctx context.Context, c *Call) ([]api.Item, error) {
	list, err := c.Platform.Networks(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return []api.Item{api.Text("There are no networks. `hop3 network add NAME CIDR…` makes one.")}, nil
	}
	table := api.Table([]string{"Name", "CIDRs"})
	for _, n := range list {
		table.Rows = append(table.Rows, []any{n.Name, strings.Join(n.CIDRs, ", ")})
	}
	return []api.Item{table}, nil
}

func networkShow(ctx context.Context, c *Call) ([]api.Item, error) {
	n, apps, err := c.Platform.Network(ctx, c.Args[0])
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"Name", "CIDRs", "Gates of"})
	table.Rows = append(table.Rows, []any{n.Name, strings.Join(n.CIDRs, ", "), strings.Join(apps, ", ")})
	return []api.Item{table}, nil
}

func networkAdd(ctx context.Context, c *Call) ([]api.Item, error) {
	n, err := c.Platform.AddNetwork(ctx, c.Args[0], c.Args[1:])
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("The network '%s' is %s.", n.Name, strings.Join(n.CIDRs, ", ")), api.Summary("set network %s.", n.Name)}, nil
}

func networkRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.RemoveNetwork(ctx, c.Args[0]); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("The network '%s' is no more.", c.Args[0]), api.Summary("removed network %s.", c.Args[0])}, nil
}
