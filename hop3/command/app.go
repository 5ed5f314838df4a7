package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func appCommands() []Command {
	return []Command{
		{Name: "app list", Aliases: []string{"apps"}, Summary: "List the apps", Who: User, Run: appList},
		{Name: "app status", Aliases: []string{"status"}, Summary: "Show an app's state", Who: Viewer, App: NeedsApp, Run: appStatus},
	}
}

func appList(ctx context.Context, c *Call) ([]api.Item, error) {
	apps, err := c.Platform.Apps(ctx, c.Actor())
	if err != nil {
		return nil, err
	}
	if len(apps) == 0 {
		return []api.Item{api.Text("There are no applications deployed.")}, nil
	}
	table := api.Table([]string{"Name", "Status", "Instances"})
	for _, a := range apps {
		state, instances := a.State, any("-")
		if a.Crashed {
			state = hop3.StateFailed
		}
		if a.Running > 0 {
			instances = a.Running
		}
		status := state.String()
		if a.Moved {
			status = "MOVED"
		}
		table.Rows = append(table.Rows, []any{a.Name, status, instances})
	}
	return []api.Item{table}, nil
}

func appStatus(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"Property", "Value"}, statusRows(s)...)
	return []api.Item{table}, nil
}

// statusRows returns the rows of `app status`, without those that say nothing.
func statusRows(s platform.AppStatus) [][]any {
	state := s.App.State.String()
	switch {
	case s.Crashed:
		state = "CRASHED"
	case s.MovedTo != "":
		state = "MOVED"
	}
	var rows [][]any
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []any{name, value})
		}
	}
	add("Name", s.App.Name)
	add("Status", state)
	if s.MovedTo != "" {
		add("Note", "it has moved to "+s.MovedTo+", where its requests are passed on to")
	}
	if s.Release.Number > 0 {
		add("Release", describe(s.Release))
	}
	if s.App.Asleep {
		add("Asleep", "since "+s.App.UpdatedAt.UTC().Format(time.DateTime)+" UTC; the next request wakes it")
	}
	if of := s.App.Preview; of != nil {
		add("Preview of", fmt.Sprintf("%s, branch '%s', until %s UTC", of.Parent, of.Branch, stamp(of.Expires)))
	}
	add("Instances", countByType(s.Instances))
	add("Limits", limitsOf(s.Limits))
	add("Local URL", s.LocalURL)
	for _, u := range s.URLs {
		add("URL", platform.ShownURL(u))
	}
	for _, problem := range s.Problems {
		if problem != s.Reason {
			add("Warning", problem)
		}
	}
	for _, note := range restarted(s.Instances) {
		add("Note", note)
	}
	add("Error", oneLine(s.Reason))
	add("Deploy branch", s.App.DeployBranch)
	add("Source", hop3.RedactRepoURL(s.App.Source))
	return rows
}

// oneLine puts a message and its hint, which is a line of its own, into a cell.
func oneLine(message string) string {
	what, hint, hinted := strings.Cut(message, "\n")
	if !hinted {
		return what
	}
	return strings.TrimSuffix(what, ".") + ". " + strings.ReplaceAll(hint, "\n", " ")
}

// limitsOf returns "memory 64 MiB, cpu 0.5, processes 100", without what is
// not limited.
func limitsOf(l hop3.Limits) string {
	var parts []string
	if l.Memory > 0 {
		parts = append(parts, "memory "+platform.FormatBytes(l.Memory))
	}
	if l.CPU > 0 {
		parts = append(parts, fmt.Sprintf("cpu %v", l.CPU))
	}
	if l.Processes > 0 {
		parts = append(parts, fmt.Sprintf("processes %d", l.Processes))
	}
	return strings.Join(parts, ", ")
}

// maxNotes bounds what is said of single instances: there may be many.
const maxNotes = 5

// restarted says which of the instances that run have ended before, and how:
// of one that is well in between nothing else tells.
func restarted(instances []hop3.Instance) []string {
	var notes []string
	for _, i := range instances {
		if i.State != hop3.InstanceRunning || i.Restarts == 0 || i.LastExit == "" {
			continue
		}
		if len(notes) == maxNotes {
			return append(notes, "and others")
		}
		times := "once"
		if i.Restarts > 1 {
			times = fmt.Sprintf("%d times", i.Restarts)
		}
		notes = append(notes, fmt.Sprintf("%s.%d was started again %s, the last time after: %s", i.Type, i.Ordinal, times, i.LastExit))
	}
	return notes
}

// countByType returns "web 2, worker 1 of 2".
func countByType(instances []hop3.Instance) string {
	var types []string
	all, up := map[string]int{}, map[string]int{}
	for _, i := range instances {
		if all[i.Type] == 0 {
			types = append(types, i.Type)
		}
		all[i.Type]++
		if i.State == hop3.InstanceRunning {
			up[i.Type]++
		}
	}
	var parts []string
	for _, t := range types {
		part := fmt.Sprintf("%s %d", t, up[t])
		if up[t] < all[t] {
			part += fmt.Sprintf(" of %d", all[t])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
