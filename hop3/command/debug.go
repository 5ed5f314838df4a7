package command

import (
	"context"
	"fmt"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func debugCommands() []Command {
	return []Command{{
		Name: "app debug", Summary: "Show all that helps to find out what is wrong with an app",
		Who: Viewer, App: NeedsApp, Run: appDebug,
	}}
}

// How much of each section is shown.
const (
	debugLines     = 20
	debugVariables = 15
	debugReleases  = "5"
	debugFailures  = "5"
	debugEvents    = "10"
)

// appDebug is what several commands say, one after the other. What one of them
// cannot tell does not keep the others from it.
func appDebug(ctx context.Context, c *Call) ([]api.Item, error) {
	status, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	rows := [][]any{{"Runtime", c.Platform.Runtime.Name()}, {"DB State", status.App.State.String()}}
	rows = append(statusRows(status), rows...)
	if status.Release.Number > 0 {
		rows = append(rows, []any{"Last Deployed", stamp(status.Release.LiveAt)})
		if box := status.Release.Artifact.Container; box != nil {
			rows = append(rows, []any{"Image Tag", box.Image})
		}
	}
	items := []api.Item{api.Text("=== APP STATUS ==="), api.Table([]string{"Property", "Value"}, rows...)}
	items = append(items, api.Text("\n=== INSTANCES ==="), instanceTable(status))
	for _, section := range []struct {
		title string
		flags map[string][]string
		run   func(context.Context, *Call) ([]api.Item, error)
	}{
		{"LAST RELEASES", map[string][]string{"lines": {debugReleases}}, releases},
		{"LAST BUILD", map[string][]string{"lines": {fmt.Sprint(debugLines)}}, appBuildLogs},
		{fmt.Sprintf("RECENT LOGS (last %d lines)", debugLines), map[string][]string{"lines": {fmt.Sprint(debugLines)}}, appLogs},
		{"ENVIRONMENT VARIABLES", nil, envShow},
		{"REQUESTS THAT FAILED", map[string][]string{"lines": {debugFailures}}, whyApp},
		{"RECENT EVENTS", map[string][]string{"lines": {debugEvents}}, showEvents},
	} {
		inner := *c
		inner.flags, inner.Args = section.flags, nil
		said, err := section.run(ctx, &inner)
		if err != nil {
			said = []api.Item{api.Warning("%s", err.Error())}
		}
		items = append(items, api.Text("\n=== %s ===", section.title))
		items = append(items, shortened(said)...)
	}
	return items, nil
}

// instanceTable is what is known of each instance of the live release.
func instanceTable(s platform.AppStatus) api.Item {
	table := api.Table([]string{"Instance", "State", "PID", "Restarts", "Last exit", "Address"})
	for _, i := range s.Instances {
		table.Rows = append(table.Rows, []any{fmt.Sprintf("%s.%d", i.Type, i.Ordinal), string(i.State), i.PID, i.Restarts, orDash(i.LastExit), orDash(i.Upstream)})
	}
	return table
}

// shortened cuts long tables of variables.
func shortened(items []api.Item) []api.Item {
	for n := range items {
		if rows := items[n].Rows; items[n].T == api.KindTable && len(rows) > debugVariables {
			items[n].Rows = append(rows[:debugVariables:debugVariables], []any{"...", fmt.Sprintf("%d more", len(rows)-debugVariables)})
		}
	}
	return items
}
