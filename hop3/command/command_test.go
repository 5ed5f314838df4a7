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
func newCommands(t *testing.T) *Commands {
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

// matrix is who may call what: p for everybody, u for users, a for
// administrators. A new command is a line here, or this test fails.
const matrix = `
app u
app branch u
app build-logs u
app check u
app create u
app credentials u
app destroy u
app fetch u
app list u
app logs u
app ping u
app restart u
app run u
app shell u
app source u
app start u
app status u
app stop u
auth p
auth get-token p
auth logout u
auth whoami u
canary abort u
canary promote u
canary status u
cert u
cert add u
cert list u
cert remove u
cert renew u
config u
config check u
config migrate procfile u
config schema u
cron u
cron list u
cron logs u
cron run u
deploy u
deploy cancel u
diff u
domain u
domain add u
domain clear u
domain list u
domain remove u
domain set u
env u
env get u
env live u
env set u
env show u
env unset u
events u
events kinds u
events verify a
git u
git setup u
help p
help commands p
http u
http basic-auth add u
http basic-auth remove u
http set u
http show u
http unset u
key u
key add u
key list u
key remove u
maintenance off u
maintenance on u
network u
network add a
network list u
network remove a
network show u
notify u
notify add u
notify list u
notify remove u
notify test u
plugin u
plugin list u
port u
port list u
preview u
preview extend u
preview list u
preview off u
preview on u
preview remove u
proxy check a
proxy set a
proxy show a
ps u
ps scale u
redeploy u
releases u
releases show u
releases switch u
rollback u
route list a
system u
system cleanup a
system info u
system logs a
system status a
user u
user add a
user disable a
user enable a
user generate-token a
user grant-admin a
user list a
user remove a
user revoke-admin a
user set-password a
user show a
version p
waf u
waf bans clear u
waf bans list u
waf logs u
waf reconcile-bans a
waf status u
webhook u
webhook create u
webhook log u
webhook remove u
webhook rotate u
webhook show u
`

func TestWhoMayCallWhat(t *testing.T) {
	c := newCommands(t)
	var table []string
	for _, name := range c.names {
		table = append(table, name+" "+map[Who]string{Public: "p", User: "u", Admin: "a"}[c.byName[name].Who])
	}
	if got := strings.Join(table, "\n"); got != strings.TrimSpace(matrix) {
		t.Errorf("the table is\n%s", got)
	}
	callers := map[string]*hop3.User{"anonymous": nil, "user": {Username: "alice"}, "admin": {Username: "root", Admin: true}}
	for name, cmd := range c.byName {
		for caller, user := range callers {
			var want hop3.Code
			switch {
			case user == nil && cmd.Who != Public:
				want = hop3.CodeUnauthorized
			case caller == "user" && cmd.Who == Admin:
				want = hop3.CodeForbidden
			}
			// An argument that no command has: nobody gets further than that.
			_, err := c.Run(t.Context(), Request{Args: append(strings.Fields(name), "--no-such-flag"), User: user})
			refused := hop3.CodeOf(err) == hop3.CodeUnauthorized || hop3.CodeOf(err) == hop3.CodeForbidden
			if want == "" && refused || want != "" && hop3.CodeOf(err) != want {
				t.Errorf("%s as %s: %v, want code %q", name, caller, err, want)
			}
		}
	}
}

func TestEveryAppCommandNeedsAnAppThatExists(t *testing.T) {
	c := newCommands(t)
	for name, cmd := range c.byName {
		if cmd.App != NeedsApp || name == "deploy" || name == "git setup" {
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
	newCommands(t).add(Command{Name: "status"})
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
