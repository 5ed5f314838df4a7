package command

import (
	"context"
	"fmt"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func notifyCommands() []Command {
	return []Command{
		{Name: "notify add", Summary: "Send notices of events somewhere", Who: Deployer, Usage: "webhook|slack|ntfy|email ADDRESS", App: TakesApp, Min: 2, Max: 2, Run: notifyAdd, Flags: []Flag{
			{Name: "name", Value: "NAME", Help: "what it is called (made up)"},
			{Name: "severity", Value: "LEVEL", Help: "at least info, warning or error (error)"},
			{Name: "kind", Value: "KIND", Help: "only this kind of event, or group; may be given again"},
			{Name: "secret", Value: "SECRET", Help: "what signs a webhook (made up), or the token of ntfy"},
		}},
		{Name: "notify list", Summary: "List where notices go, and whether they arrive", Who: Deployer, App: TakesApp, Run: notifyList},
		{Name: "notify remove", Summary: "Send no more notices there", Who: User, Usage: "NAME", Min: 1, Max: 1, Run: notifyRemove},
		{Name: "notify test", Summary: "Send a test", Who: User, Usage: "NAME", Min: 1, Max: 1, Run: notifyTest},
	}
}

func notifyAdd(ctx context.Context, c *Call) ([]api.Item, error) {
	t := hop3.NotifyTarget{Kind: c.Args[0], Address: c.Args[1], Name: c.Value("name"), App: c.App, Secret: c.Value("secret"), Severity: hop3.SeverityError}
	if len(c.flags["kind"]) > 0 {
		t.Severity = hop3.SeverityInfo // who names it wants it
	}
	var err error
	if text := c.Value("severity"); text != "" {
		if t.Severity, err = hop3.ParseSeverity(text); err != nil {
			return nil, err
		}
	}
	for _, text := range c.flags["kind"] {
		kind, err := hop3.ParseEventKind(text)
		if err != nil {
			return nil, err
		}
		t.Kinds = append(t.Kinds, kind)
	}
	t, err = c.Platform.AddNotifyTarget(ctx, c.Actor(), t)
	if err != nil {
		return nil, err
	}
	items := []api.Item{api.Text("Notices go to %s now. `hop3 notify test %s` sends a test.", t.Name, t.Name)}
	if t.Kind == hop3.NotifyWebhook && c.Value("secret") == "" {
		items = append(items, api.Text("Its secret, shown once: %s", t.Secret))
	}
	return items, nil
}

func notifyList(ctx context.Context, c *Call) ([]api.Item, error) {
	targets, err := c.Platform.NotifyTargets(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return []api.Item{api.Text("Notices go nowhere. `hop3 notify add` adds a target.")}, nil
	}
	table := api.Table([]string{"Name", "Kind", "App", "Address", "Events", "State"})
	for _, t := range targets {
		events := "at least " + t.Severity.String()
		for i, k := range t.Kinds {
			if i == 0 {
				events += ": "
			} else {
				events += ", "
			}
			events += string(k)
		}
		table.Rows = append(table.Rows, []any{t.Name, t.Kind, or(t.App, "all"), t.Address, events, targetState(t.Status)})
	}
	return []api.Item{table}, nil
}

func targetState(s hop3.NotifyStatus) string {
	state := "nothing was sent yet"
	switch {
	case s.Failures > 0:
		state = fmt.Sprintf("fails since %s: %s", stamp(s.FailingSince), oneLine(s.LastError))
	case !s.LastSent.IsZero():
		state = "sent " + stamp(s.LastSent)
	}
	if s.Waiting > 0 {
		state += fmt.Sprintf("; %d wait", s.Waiting)
	}
	if s.Dropped > 0 {
		state += fmt.Sprintf("; %d were given up", s.Dropped)
	}
	return state
}

func notifyRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("No more notices go to %s.", c.Platform.RemoveNotifyTarget(ctx, c.Actor(), c.Args[0]))
}

func notifyTest(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.done("The test reached %s.", c.Platform.TestNotifyTarget(ctx, c.Actor(), c.Args[0]))
}
