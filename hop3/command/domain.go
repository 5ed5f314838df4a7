package command

import (
	"context"
	"fmt"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/idn"
	"github.com/abilian/hop3/hop3/platform"
)

func domainCommands() []Command {
	change := func(name, summary string, min int, f domainVerb) Command {
		usage, most := "HOST…", Any
		if min == 0 {
			usage, most = "", 0
		}
		return Command{Name: "domain " + name, Aliases: []string{"domains " + name}, Summary: summary, Usage: usage, App: NeedsApp, Min: min, Max: most,
			Run: func(ctx context.Context, c *Call) ([]api.Item, error) { return c.changeDomains(ctx, f) }}
	}
	wait := Flag{Name: "wait", Help: "until they have certificates, or why they have none"}
	rows := []Command{
		{Name: "domain list", Aliases: []string{"domains list"}, Summary: "List the host names of an app", App: NeedsApp, Run: domainList},
		change("add", "Give an app host names", 1, (*platform.Platform).AddDomains),
		change("remove", "Take host names from an app", 1, (*platform.Platform).RemoveDomains),
		change("set", "Replace the host names of an app", 1, (*platform.Platform).SetDomains),
		change("clear", "Take all host names but the server's from an app", 0, (*platform.Platform).SetDomains),
	}
	for i := range rows {
		if name := rows[i].Name; name == "domain add" || name == "domain set" {
			rows[i].Flags = append(rows[i].Flags, wait)
		}
	}
	return rows
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
	showNames(&table, 0)
	return []api.Item{table}, nil
}

// showNames adds a column with the hosts of another one in their own script,
// where there are such hosts. Their ASCII form stays where programs read it.
func showNames(table *api.Item, column int) {
	names := make([]string, len(table.Rows))
	differ := false
	for i, row := range table.Rows {
		host, _ := row[column].(string)
		if names[i] = idn.Unicode(host); names[i] != host {
			differ = true
		}
	}
	if !differ {
		return
	}
	table.Headers = append(table.Headers, "In its script")
	for i := range table.Rows {
		table.Rows[i] = append(table.Rows[i], names[i])
	}
}

type domainVerb func(p *platform.Platform, ctx context.Context, who platform.Actor, app string, hosts []string, out hop3.Output) (platform.DomainChange, error)

func (c *Call) changeDomains(ctx context.Context, verb domainVerb) ([]api.Item, error) {
	var out lines
	change, err := verb(c.Platform, ctx, c.Actor(), c.App, c.Args, &out)
	if err != nil {
		return nil, out.failed(err)
	}
	if len(change.Added)+len(change.Removed) == 0 {
		return []api.Item{api.Text("The host names of '%s' are as they were.", c.App)}, nil
	}
	var items []api.Item
	for _, h := range change.Added {
		items = append(items, api.Text("  + %s", idn.Show(h)))
	}
	for _, h := range change.Removed {
		items = append(items, api.Text("  - %s", idn.Show(h)))
	}
	items = append(items, out.items()...)
	if change.Release > 0 {
		items = append(items, api.Text("Release v%d is live with it.", change.Release))
	}
	items = append(items, api.Summary("changed the host names of %s: %s.", c.App, tally(change)))
	if c.Has("wait") && len(change.Added) > 0 {
		return c.waitForCertificates(ctx, change.Added, items)
	}
	return items, nil
}

// tally returns "2 added, 1 removed".
func tally(change platform.DomainChange) string {
	switch a, r := len(change.Added), len(change.Removed); {
	case r == 0:
		return fmt.Sprintf("%d added", a)
	case a == 0:
		return fmt.Sprintf("%d removed", r)
	default:
		return fmt.Sprintf("%d added, %d removed", a, r)
	}
}
