package command

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// FuzzCommandLine: whatever words come, a command is found and called with
// what it says it takes, or there is an error that says why; and words that
// are a program's are its own.
func FuzzCommandLine(f *testing.F) {
	for _, line := range []string{
		"app status --app blog", "ps -a blog scale web=2", "ps --app=blog scale", "run --app x -- -c --app=y", "logs -n=5 --grep= --app x",
		"--app", "-- --", "env set --app x A=\x00 =", "--app=a --app=b apps", "run --app x python -c --app=y", "a b c d e", "app --app x --app y status",
		"deploy --app\nx --canary", "logs --app x -n -n -n", "ps --app --app scale --app",
	} {
		f.Add(strings.ReplaceAll(line, " ", "\n"))
	}
	c := newFuzzCommands(f)
	user := hop3.User{Username: "alice", Active: true}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		before := slices.Clone(args)
		cmd, rest := c.Find(args)
		if !slices.Equal(args, before) {
			t.Fatalf("%q became %q", before, args)
		}
		if cmd != nil && len(rest) >= len(args) {
			t.Errorf("%q: a command without a word of its name", args)
		}
		call := &Call{User: user, commands: c}
		if cmd != nil {
			err := call.parse(cmd, rest)
			switch {
			case err != nil && hop3.CodeOf(err) != hop3.CodeInvalid:
				t.Errorf("%q: %v", args, err)
			case err == nil && (len(call.Args) < cmd.Min || cmd.Max != Any && !cmd.Lenient && len(call.Args) > cmd.Max):
				t.Errorf("%q: %s got %q", args, cmd.Name, call.Args)
			case err == nil && cmd.App == NeedsApp && call.App == "", err == nil && cmd.App == NoApp && call.App != "":
				t.Errorf("%q: %s is about the app %q", args, cmd.Name, call.App)
			}
		}
		for _, who := range []*hop3.User{nil, &user} {
			items, err := c.Run(t.Context(), Request{Args: args, User: who})
			switch code := hop3.CodeOf(err); {
			case err == nil && items == nil && cmd != nil && cmd.Name == "":
				t.Errorf("%q: neither items nor an error", args)
			case err != nil && code == hop3.CodeInternal:
				t.Errorf("%q: %v", args, err)
			case who == nil && err == nil && cmd != nil && cmd.Who != Public:
				t.Errorf("%q: a stranger may", args)
			}
		}
	})
}

// newFuzzCommands returns the table with commands that do nothing, but for the
// public ones that only show texts: what is asked here is who gets that far.
func newFuzzCommands(tb testing.TB) *Commands {
	c := newCommands(tb)
	for _, cmd := range c.byName {
		if cmd.Who != Public || !strings.HasPrefix(cmd.Name, "help") && cmd.Name != "version" {
			cmd.Run = func(context.Context, *Call) ([]api.Item, error) { return []api.Item{}, nil }
		}
	}
	return c
}
