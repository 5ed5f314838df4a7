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

func cronCommands() []Command {
	return []Command{
		{Name: "cron list", Summary: "List an app's cron entries, and when they are due", Who: Viewer, App: NeedsApp, Run: cronList},
		{Name: "cron run", Summary: "Run a cron entry now", Who: Deployer, Usage: "ENTRY", App: NeedsApp, Min: 1, Max: 1, Run: cronRun, Attach: attachCron},
		{Name: "cron logs", Summary: "Show the runs of cron entries, or what one wrote", Who: Viewer, Usage: "[ENTRY]", App: NeedsApp, Max: 1, Run: cronLogs, Flags: []Flag{
			{Name: "lines", Short: "n", Value: "N", Help: "how many runs (20), or with --run lines (all)"},
			{Name: "run", Value: "ID", Help: "what this run wrote"},
		}},
	}
}

func cronList(ctx context.Context, c *Call) ([]api.Item, error) {
	entries, err := c.Platform.CronEntries(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return []api.Item{api.Text("App '%s' has no cron entries.", c.App)}, nil
	}
	table := api.Table([]string{"Entry", "Schedule", "Zone", "Next run", "Last run", "Result", "Command"})
	for _, e := range entries {
		next := "- (the app does not run)"
		if !e.Next.IsZero() {
			next = e.Next.Format("2006-01-02 15:04 MST")
		}
		last, result := "-", "-"
		if e.Last.ID != 0 {
			last, result = stamp(e.Last.StartedAt), cronResult(e.Last)
		}
		table.Rows = append(table.Rows, []any{e.Entry.Name, e.Entry.Schedule, e.Zone, next, last, result, shown(e.Entry.Command)})
	}
	return []api.Item{table}, nil
}

// shown is a command as a cell of a table: its first line, without what would
// drive a terminal, and not too much of it.
func shown(command string) string {
	line, _, more := strings.Cut(command, "\n")
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, line)
	if r := []rune(line); len(r) > 60 {
		line, more = string(r[:60]), true
	}
	if more {
		line += "…"
	}
	return line
}

// cronResult is how a run ended: "exit 0", "timed out after 1h".
func cronResult(r hop3.CronRun) string {
	switch {
	case r.EndedAt.IsZero():
		return "under way"
	case r.Error != "":
		return firstOf(r.Error)
	}
	return fmt.Sprintf("exit %d", r.Exit)
}

func cronRun(ctx context.Context, c *Call) ([]api.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	var out capped
	run, err := c.Platform.RunCron(ctx, c.Actor(), c.App, c.Args[0], &out)
	if err != nil {
		return nil, err
	}
	var items []api.Item
	switch {
	case run.ID == 0:
		items = append(items, api.Warning("Other runs come first. '%s' runs when it is its turn: `hop3 cron logs %s --app %s` shows it.", c.Args[0], c.Args[0], c.App))
	case run.EndedAt.IsZero():
		items = append(items, api.Warning("Run %d of '%s' goes on: `hop3 cron logs --run %d --app %s` shows it.", run.ID, c.Args[0], run.ID, c.App))
	case run.Error != "":
		items = append(items, api.Failure("Run %d of '%s': %s", run.ID, c.Args[0], run.Error))
	case run.Exit != 0:
		failure := api.Failure("Run %d of '%s' failed with exit code %d", run.ID, c.Args[0], run.Exit)
		failure.ExitCode = run.Exit
		items = append(items, failure)
	}
	if text := out.String(); text != "" {
		items = append(items, api.Text("%s", text))
	}
	if run.ID != 0 && !run.EndedAt.IsZero() && run.Error == "" && run.Exit == 0 {
		items = append(items, api.Summary("ran %s (run %d, %s).", run.Entry, run.ID, took(run)))
	}
	return items, nil
}

// attachCron is cronRun for a caller who sees the output as it comes.
func attachCron(ctx context.Context, c *Call, con Console) (exit int, err error) {
	out, _ := con.Lines()
	run, err := c.Platform.RunCron(ctx, c.Actor(), c.App, c.Args[0], out)
	switch {
	case err != nil:
		return 0, err
	case run.ID == 0 || run.EndedAt.IsZero():
		return 0, hop3.Errorf(hop3.CodeCanceled, "The run of '%s' goes on without you.", c.Args[0])
	case run.Error != "":
		return 0, hop3.Errorf(hop3.CodeUnavailable, "Run %d of '%s': %s", run.ID, c.Args[0], run.Error)
	}
	return run.Exit, nil
}

func cronLogs(ctx context.Context, c *Call) ([]api.Item, error) {
	if c.Has("run") {
		return cronOutput(ctx, c)
	}
	n, err := c.number("lines", 20, 500)
	if err != nil {
		return nil, err
	}
	entry := strings.Join(c.Args, "")
	runs, err := c.Platform.CronRuns(ctx, c.Actor(), c.App, entry, n)
	if err != nil {
		return nil, err
	}
	if len(runs) == 0 {
		return []api.Item{api.Text("No cron entry of app '%s' has run yet.", c.App)}, nil
	}
	table := api.Table([]string{"Run", "Entry", "Due", "Started", "Took", "Release", "Result"})
	for _, r := range runs {
		due := "by hand"
		if !r.Due.IsZero() {
			due = stamp(r.Due)
		}
		release := "-"
		if r.Release > 0 {
			release = fmt.Sprintf("v%d", r.Release)
		}
		table.Rows = append(table.Rows, []any{strconv.FormatInt(r.ID, 10), r.Entry, due, stamp(r.StartedAt), took(r), release, cronResult(r)})
	}
	return []api.Item{table}, nil
}

// took is how long a run took, "-" while it is under way or when it did not
// begin.
func took(r hop3.CronRun) string {
	if r.EndedAt.IsZero() || r.LogFile == "" {
		return "-"
	}
	return duration(max(r.EndedAt.Sub(r.StartedAt), time.Millisecond))
}

// cronOutput is the last lines of what one run wrote.
func cronOutput(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := strconv.ParseInt(c.Value("run"), 10, 64)
	if err != nil || id < 1 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "--run wants the number of a run, not %.40q", c.Value("run")).
			WithHint("`hop3 cron logs --app %s` lists the runs.", c.App)
	}
	n, err := c.number("lines", 1<<20, 1<<20)
	if err != nil {
		return nil, err
	}
	var lines []string
	run, err := c.Platform.CronLog(ctx, c.Actor(), c.App, id, func(line string) error {
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(c.Args) > 0 && run.Entry != c.Args[0] {
		return nil, hop3.Errorf(hop3.CodeInvalid, "Run %d is one of '%s', not of '%.80s'.", id, run.Entry, c.Args[0])
	}
	if len(lines) == 0 {
		return []api.Item{api.Text("Run %d of '%s' wrote nothing: %s.", id, run.Entry, cronResult(run))}, nil
	}
	return []api.Item{api.Text("%s", strings.Join(lines[max(0, len(lines)-n):], "\n"))}, nil
}
