package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func appCommands() []Command {
	return []Command{
		{Name: "app list", Aliases: []string{"apps"}, Summary: "List the apps", Run: appList},
		{Name: "app create", Aliases: []string{"app launch"}, Summary: "Create an app without source", Usage: "[NAME]", App: TakesApp, Max: 1, Run: appCreate},
		{Name: "app status", Aliases: []string{"status"}, Summary: "Show an app's state", App: NeedsApp, Run: appStatus},
		{Name: "app logs", Aliases: []string{"logs"}, Summary: "Show an app's logs", App: NeedsApp, Run: appLogs, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many lines (100)"},
			{Name: "grep", Value: "TEXT", Help: "only lines with TEXT in them"},
			{Name: "type", Value: "PROCESS", Help: "only this process type"},
			{Name: "build", Help: "the log of the last build instead"},
		}},
		{Name: "app run", Aliases: []string{"run"}, Summary: "Run a command in an app's environment", Usage: "COMMAND…", App: NeedsApp, Program: true, Min: 1, Max: Any,
			Flags: []Flag{{Name: "input", Value: "TEXT", Help: "what the command reads"}}, Run: appRun},
	}
}

func appList(ctx context.Context, c *Call) ([]api.Item, error) {
	apps, err := c.Platform.Apps(ctx)
	if err != nil {
		return nil, err
	}
	if len(apps) == 0 {
		return []api.Item{api.Text("There are no applications deployed.")}, nil
	}
	table := api.Table([]string{"Name", "Status", "Instances"})
	for _, a := range apps {
		state, instances := a.App.State, any("-")
		if a.Crashed {
			state = hop3.StateFailed
		}
		if n := running(a.Instances); n > 0 {
			instances = n
		}
		table.Rows = append(table.Rows, []any{a.App.Name, state.String(), instances})
	}
	return []api.Item{table}, nil
}

func appCreate(ctx context.Context, c *Call) ([]api.Item, error) {
	name := c.App
	switch {
	case len(c.Args) == 1 && strings.ContainsAny(c.Args[0], ":/"):
		return nil, hop3.Errorf(hop3.CodeInvalid, "An app is not created from an address: clone %.200q yourself and push it, or run 'hop3 deploy' in it.", c.Args[0])
	case len(c.Args) == 1 && name != "":
		return nil, hop3.Errorf(hop3.CodeInvalid, "Give the app's name once.")
	case len(c.Args) == 1:
		name = c.Args[0]
	case name == "":
		return nil, hop3.Errorf(hop3.CodeInvalid, "Usage: hop3 app create NAME")
	}
	if _, err := c.Platform.CreateApp(ctx, c.Actor(), name); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("App '%s' created.\nRun 'hop3 deploy --app %s' in its directory, or push it with git.", name, name),
		api.Summary("created %s.", name),
	}, nil
}

func appStatus(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.AppStatus(ctx, c.App)
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"Property", "Value"}, statusRows(s)...)
	return []api.Item{table}, nil
}

// statusRows returns the rows of `app status`, without those that say nothing.
func statusRows(s platform.AppStatus) [][]any {
	state := s.App.State.String()
	if s.Crashed {
		state = "CRASHED"
	}
	var rows [][]any
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []any{name, value})
		}
	}
	add("Name", s.App.Name)
	add("Status", state)
	if s.Release.Number > 0 {
		add("Release", describe(s.Release))
	}
	add("Instances", countByType(s.Instances))
	add("Local URL", s.LocalURL)
	for _, u := range s.URLs {
		add("URL", u)
	}
	add("Error", s.Reason)
	add("Deploy branch", s.App.DeployBranch)
	return rows
}

func appLogs(ctx context.Context, c *Call) ([]api.Item, error) {
	n, err := c.number("lines", 100, 10_000)
	if err != nil {
		return nil, err
	}
	var lines []string
	size := 0
	q := platform.LogQuery{Lines: n, Grep: c.Value("grep"), Type: c.Value("type"), Build: c.Has("build")}
	err = c.Platform.Logs(ctx, c.App, q, func(line string) error {
		lines = append(lines, line)
		if size += len(line); size > maxOutput {
			return errTooMuch
		}
		return nil
	})
	if errors.Is(err, errTooMuch) {
		lines = append(lines, "… the rest is too much to send: ask for fewer lines")
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return []api.Item{api.Text("No log entries found.")}, nil
	}
	return []api.Item{api.Text("%s", strings.Join(lines, "\n"))}, nil
}

// Bounds on `app run`: clients wait for an answer for 300 seconds.
const (
	runTimeout = 295 * time.Second
	maxOutput  = 10 << 20
)

var errTooMuch = errors.New("too much output")

func appRun(ctx context.Context, c *Call) ([]api.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	var stdout, stderr capped
	cmd := hop3.OneOff{Args: c.Args, Stdout: &stdout, Stderr: &stderr}
	if c.Has("input") {
		cmd.Stdin = strings.NewReader(strings.TrimSuffix(c.Value("input"), "\n") + "\n")
	}
	exit, err := c.Platform.RunOneOff(ctx, c.Actor(), c.App, cmd)
	if ctx.Err() == context.DeadlineExceeded {
		err = hop3.Errorf(hop3.CodeUnavailable, "The command timed out after %s and was ended.", runTimeout)
	}
	if err != nil {
		return nil, err
	}
	var items []api.Item
	if exit != 0 {
		failure := api.Failure("Command failed with exit code %d\n$ %s", exit, strings.Join(c.Args, " "))
		failure.ExitCode = exit
		items = append(items, failure)
	}
	if out := stdout.String(); out != "" {
		items = append(items, api.Text("%s", out))
	}
	if out := stderr.String(); out != "" {
		items = append(items, api.Text("--- stderr ---\n%s", out))
	}
	return items, nil
}

// capped keeps the first maxOutput bytes written to it. A Runtime writes to it
// from one goroutine.
type capped struct {
	buf     bytes.Buffer
	dropped bool
}

func (w *capped) Write(b []byte) (int, error) {
	if room := maxOutput - w.buf.Len(); len(b) > room {
		w.buf.Write(b[:room])
		w.dropped = true
	} else {
		w.buf.Write(b)
	}
	return len(b), nil
}

func (w *capped) String() string {
	s := strings.TrimSuffix(strings.ToValidUTF8(w.buf.String(), "\uFFFD"), "\n")
	if w.dropped {
		s += fmt.Sprintf("\n… output beyond %d MB was dropped", maxOutput>>20)
	}
	return s
}

func running(instances []hop3.Instance) int {
	n := 0
	for _, i := range instances {
		if i.State == hop3.InstanceRunning {
			n++
		}
	}
	return n
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
