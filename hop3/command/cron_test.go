package command

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// oneOffs is a Runtime that can only run commands.
type oneOffs struct {
	hop3.Runtime
	run func(hop3.OneOff) (int, error)
}

func (o oneOffs) Run(_ context.Context, _ hop3.Launch, cmd hop3.OneOff) (int, error) {
	return o.run(cmd)
}

// newCronCommands has an app blog that runs, with cron entries. The command
// "fail" of one ends with exit code 3.
func newCronCommands(t *testing.T) *Commands {
	t.Helper()
	c := newCommands(t)
	p, ctx := c.server.Platform, t.Context()
	p.Runtime = oneOffs{run: func(cmd hop3.OneOff) (int, error) {
		_, err := io.WriteString(cmd.Stdout, "this is "+cmd.Name+"\nbye\n")
		if cmd.Shell == "fail" {
			return 3, err
		}
		return 0, err
	}}
	if err := p.Store.CreateUser(ctx, hop3.User{Username: "alice", Active: true}); err != nil {
		t.Fatal(err)
	}
	if err := p.Store.CreateApp(ctx, hop3.App{Name: "blog"}); err != nil {
		t.Fatal(err)
	}
	r, err := p.Store.NewRelease(ctx, hop3.Release{App: "blog", Status: hop3.ReleaseBuilding, Cron: []hop3.CronEntry{
		{Name: "backup", Schedule: "30 2 * * *", Command: "tar c\n\x1b[2J", TimeZone: "Asia/Tokyo"},
		{Name: "cron.2", Schedule: "@yearly", Command: "fail"},
	}})
	if err == nil {
		err = p.Store.Commit(ctx, "blog", r.Number)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return c
}

func (c *Commands) asAlice(t *testing.T, line string) ([]api.Item, error) {
	t.Helper()
	return c.Run(t.Context(), Request{Args: strings.Fields(line), User: &hop3.User{Username: "alice"}})
}

func TestCronCommands(t *testing.T) {
	c := newCronCommands(t)
	must := func(line string) []api.Item {
		t.Helper()
		items, err := c.asAlice(t, line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return items
	}
	rows := must("cron list --app blog")[0].Rows
	if len(rows) != 2 || rows[0][0] != "backup" || rows[0][2] != "Asia/Tokyo" || !strings.HasSuffix(rows[0][3].(string), " 02:30 JST") ||
		rows[0][4] != "-" || rows[0][6] != "tar c…" || rows[1][2] != "UTC" {
		t.Errorf("cron list: %q", rows)
	}
	if text := must("cron logs --app blog")[0].Text; text != "No cron entry of app 'blog' has run yet." {
		t.Errorf("cron logs: %s", text)
	}

	items := must("cron run backup --app blog")
	if len(items) != 2 || items[0].Text != "this is backup\nbye" || items[1].T != api.KindSummary || !strings.HasPrefix(items[1].Text, "ran backup (run 1, ") {
		t.Errorf("cron run: %+v", items)
	}
	items = must("cron run --app blog cron.2")
	if len(items) != 2 || items[0].T != api.KindError || items[0].ExitCode != 3 || items[1].Text != "this is cron.2\nbye" {
		t.Errorf("cron run that fails: %+v", items)
	}

	rows = must("cron logs --app blog")[0].Rows
	if len(rows) != 2 || rows[0][0] != "2" || rows[0][1] != "cron.2" || rows[0][2] != "by hand" || rows[0][5] != "v1" || rows[0][6] != "exit 3" || rows[1][6] != "exit 0" {
		t.Errorf("cron logs: %q", rows)
	}
	if rows := must("cron logs backup -n 5 --app blog")[0].Rows; len(rows) != 1 || rows[0][0] != "1" {
		t.Errorf("cron logs of an entry: %q", rows)
	}
	if text := must("cron logs --run 2 --app blog")[0].Text; text != "this is cron.2\nbye" {
		t.Errorf("cron logs of a run: %q", text)
	}
	if text := must("cron logs cron.2 --run 2 -n 1 --app blog")[0].Text; text != "bye" {
		t.Errorf("its last line: %q", text)
	}
	if rows := must("cron list --app blog")[0].Rows; rows[1][5] != "exit 3" {
		t.Errorf("cron list after a run: %q", rows)
	}

	var out strings.Builder
	exit, err := c.Attach(t.Context(), Request{Args: strings.Fields("cron run cron.2 --app blog"), User: &hop3.User{Username: "alice"}}, Console{Stdout: &out, Stderr: &out})
	if err != nil || exit != 3 || out.String() != "this is cron.2\nbye\n" {
		t.Errorf("cron run at a console: %d, %v, %q", exit, err, out.String())
	}
}

func TestCronMistakes(t *testing.T) {
	c := newCronCommands(t)
	for line, want := range map[string]string{
		"cron run nightly --app blog":     "App 'blog' has no cron entry 'nightly'.\nIt has: backup, cron.2.",
		"cron logs nightly --app blog":    "App 'blog' has no cron entry 'nightly'.",
		"cron logs --run 77 --app blog":   "Cron run 77 not found.",
		"cron logs --run x --app blog":    `--run wants the number of a run, not "x"`,
		"cron logs -n 0 --app blog":       "--lines wants a number of 1 or more",
		"cron run --app blog":             "Usage: hop3 cron run --app NAME ENTRY",
		"cron list":                       "Which app?",
		"cron frob --app blog":            "Command 'cron frob' not found",
		"cron run backup more --app blog": "Unrecognized argument(s): 'more'",
	} {
		if _, err := c.asAlice(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	if _, err := c.asAlice(t, "cron run backup --app blog"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.asAlice(t, "cron logs cron.2 --run 1 --app blog"); err == nil || !strings.Contains(err.Error(), "Run 1 is one of 'backup'") {
		t.Errorf("a run of another entry: %v", err)
	}
}

func TestCronTexts(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC)
	for want, r := range map[string]hop3.CronRun{
		"under way -":             {StartedAt: at, LogFile: "x"},
		"exit 0 1.5s":             {StartedAt: at, EndedAt: at.Add(1500 * time.Millisecond), LogFile: "x"},
		"exit 9 1h0m0s":           {StartedAt: at, EndedAt: at.Add(time.Hour), LogFile: "x", Exit: 9},
		"skipped: it runs -":      {StartedAt: at, EndedAt: at, Error: "skipped: it runs"},
		"timed out after 1m 1m0s": {StartedAt: at, EndedAt: at.Add(time.Minute), LogFile: "x", Error: "timed out after 1m"},
	} {
		if got := cronResult(r) + " " + took(r); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := shown(strings.Repeat("ä", 61)); got != strings.Repeat("ä", 60)+"…" {
		t.Errorf("a long command: %s", got)
	}
}
