package command

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/disk"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/store"
	"github.com/abilian/hop3/hop3/stream"
)

// newCommands returns the table over an empty database. No app exists, so no
// command of one gets further than that.
func newCommands(t testing.TB) *Commands {
	t.Helper()
	home := t.TempDir()
	db, err := store.Open(t.Context(), "", home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p := &platform.Platform{Store: db, Files: disk.Files{}, Logger: zap.NewNop(), Settings: platform.Settings{Home: home, BaseDomain: "localhost"}}
	return New(Server{Platform: p, Streams: &stream.Hub{}, Version: "1.2.3", Plugins: func() []Plugin { return nil }})
}

func TestEveryAppCommandNeedsAnAppThatExists(t *testing.T) {
	c := newCommands(t)
	for name, cmd := range c.byName {
		if cmd.App != NeedsApp || name == "deploy" || name == "plan" || name == "app plan" || name == "git setup" || name == "app receive" {
			continue
		}
		rest := slices.Repeat([]string{"w=1"}, cmd.Min)
		if name == "releases show" || name == "releases switch" {
			rest = []string{"v1"}
		}
		args := slices.Concat(strings.Fields(name), []string{"--app", "nosuch"}, rest)
		if _, err := c.Run(t.Context(), Request{Args: args, User: &hop3.User{Username: "alice"}}); hop3.CodeOf(err) != hop3.CodeNotFound {
			t.Errorf("%v: %v, want CodeNotFound", args, err)
		}
		if _, err := c.Run(t.Context(), Request{Args: append(strings.Fields(name), rest...), User: &hop3.User{}}); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s without --app: %v, want CodeInvalid", name, err)
		}
	}
}

func TestTwoCommandsOfOneNamePanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newCommands(t).add(Command{Name: "status", Who: User})
}

func TestFinding(t *testing.T) {
	c := newCommands(t)
	for line, want := range map[string]string{
		"app status --app x":            "app status|--app x",
		"status -a x":                   "app status|-a x",
		"ps --app x scale web=2":        "ps scale|--app x web=2",
		"ps --app=x scale web=2":        "ps scale|--app=x web=2",
		"ps --app x":                    "ps|--app x",
		"ps --app":                      "ps|--app",
		"run --app x ps scale":          "app run|--app x ps scale",
		"help commands":                 "help commands|",
		"help app status":               "help|app status",
		"config set --app x A=1":        "env set|--app x A=1",
		"nothing --app x of the sort":   "|nothing --app x of the sort",
		"releases --app x show 3":       "releases show|--app x 3",
		"rollback --app x v3":           "rollback|--app x v3",
		"user add --admin bob b@c.d pw": "user add|--admin bob b@c.d pw",
	} {
		cmd, rest := c.Find(strings.Fields(line))
		name := ""
		if cmd != nil {
			name = cmd.Name
		}
		if got := name + "|" + strings.Join(rest, " "); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestParsing(t *testing.T) {
	c := newCommands(t)
	run := c.byName["app run"]
	logs := c.byName["app logs"]
	for _, tt := range []struct {
		cmd   *Command
		line  string
		app   string
		args  string
		flags string
		fails string
	}{
		{run, "--app x python -c --app=y -- -a z", "x", "python|-c|--app=y|--|-a|z", "", ""},
		{run, "--app x -- -weird --app y", "x", "-weird|--app|y", "", ""},
		{run, "--app=x --input hi cat", "x", "cat", "input=hi", ""},
		{logs, "-n 5 --grep=a=b --app x", "x", "", "grep=a=b,lines=5", ""},
		{logs, "--app x -a y", "y", "", "", ""},
		{logs, "--app x --lines", "", "", "", "--lines needs a value: N"},
		{logs, "--app x --build=1", "", "", "", "--build takes no value"},
		{logs, "--app x more stuff", "", "", "", "Unrecognized argument(s): 'more', 'stuff'."},
	} {
		call := &Call{}
		err := call.parse(tt.cmd, strings.Fields(tt.line))
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: %v, want %q", tt.line, err, tt.fails)
			}
			continue
		}
		var flags []string
		for name, v := range call.flags {
			if name != "app" {
				flags = append(flags, name+"="+v[len(v)-1])
			}
		}
		slices.Sort(flags)
		if err != nil || call.App != tt.app || strings.Join(call.Args, "|") != tt.args || strings.Join(flags, ",") != tt.flags {
			t.Errorf("%s: app %q, args %q, flags %q, %v", tt.line, call.App, call.Args, flags, err)
		}
	}
}

func TestSuggestions(t *testing.T) {
	c := newCommands(t)
	for typed, want := range map[string]string{"app lst": "app list", "depoly": "deploy", "staus": "status", "xyzzy": "", "cron lsit": "cron list", "cron next": "cron list"} {
		_, err := c.Run(t.Context(), Request{Args: strings.Fields(typed), User: &hop3.User{}})
		var m *Mistake
		errors.As(err, &m)
		got := ""
		if m != nil && len(m.Candidates) > 0 {
			got = m.Candidates[0]
		}
		if hop3.CodeOf(err) != CodeUnknownCommand || got != want {
			t.Errorf("%s: %v suggests %q, want %q", typed, err, got, want)
		}
	}
}

func TestFailuresCarryTheirLogs(t *testing.T) {
	var out lines
	out.Log(hop3.LogLine{Text: "a ||| b"})
	err := out.failed(hop3.Errorf(hop3.CodeDeploy, "no"))
	want := `LOGS:[{"fg":"","level":0,"msg":"a | | | b","t":"log"}]|||no`
	if hop3.CodeOf(err) != hop3.CodeDeploy || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestEveryCommandIsDescribed(t *testing.T) {
	c := newCommands(t)
	for _, name := range c.names {
		cmd := c.byName[name]
		if cmd.Summary == "" || strings.HasSuffix(cmd.Summary, ".") || len(cmd.Summary) > 60 {
			t.Errorf("%s: the summary %q is not one short phrase", name, cmd.Summary)
		}
		if items, err := c.Run(context.Background(), Request{Args: append([]string{"help"}, strings.Fields(name)...)}); name != "help commands" && (err != nil || items[0].T != api.KindText) {
			t.Errorf("help %s: %v", name, err)
		}
	}
}
