package command

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func runCommands() []Command {
	return []Command{
		{Name: "app run", Aliases: []string{"run"}, Summary: "Run a command in an app's environment", Who: Deployer, Usage: "COMMAND…", App: NeedsApp, Program: true, Min: 1, Max: Any,
			Flags: append([]Flag{{Name: "input", Value: "TEXT", Help: "what the command reads"}}, consoleFlags()...), Run: appRun, Attach: attachRun},
		{Name: "app shell", Aliases: []string{"shell"}, Summary: "Open a shell in an app's environment", Who: Deployer, App: NeedsApp,
			Flags: append([]Flag{{Name: "type", Value: "PROCESS", Help: "tell it this process type (HOP3_PROCESS)"}}, consoleFlags()...), Run: appShell, Attach: attachShell},
	}
}

// consoleFlags are for the client: whether there is a terminal is said by how
// it calls.
func consoleFlags() []Flag {
	return []Flag{
		{Name: "tty", Short: "t", Help: "give it a terminal"},
		{Name: "no-tty", Short: "T", Help: "give it none"},
		{Name: "interactive", Short: "i", Help: "pass the input on, as is always done"},
	}
}

// Bounds on `app run` without a console: clients wait for an answer for 300
// seconds.
const (
	runTimeout = 295 * time.Second
	maxOutput  = 10 << 20
)

func appRun(ctx context.Context, c *Call) ([]api.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	var stdout, stderr capped
	cmd := hop3.OneOff{Args: c.Args, Stdout: &stdout, Stderr: &stderr}
	if c.Has("input") {
		cmd.Stdin = c.input()
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

func attachRun(ctx context.Context, c *Call, con Console) (exit int, err error) {
	return con.attach(ctx, func(cmd hop3.OneOff) (int, error) {
		cmd.Args = c.Args
		if c.Has("input") {
			cmd.Stdin = c.input()
		}
		return c.Platform.RunOneOff(ctx, c.Actor(), c.App, cmd)
	})
}

func attachShell(ctx context.Context, c *Call, con Console) (exit int, err error) {
	return con.attach(ctx, func(cmd hop3.OneOff) (int, error) {
		return c.Platform.RunShell(ctx, c.Actor(), c.App, c.Value("type"), cmd)
	})
}

func appShell(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.Authorize(ctx, c.Actor(), c.App, hop3.RoleDeployer); err != nil {
		return nil, err
	}
	return nil, hop3.Errorf(hop3.CodeInvalid, "A shell needs a client that stays connected.").
		WithHint("Use `hop3 app shell` of a recent client, or ssh: `ssh -t -p <port> <host> shell --app <app>`.")
}

// input is what --input says the command reads.
func (c *Call) input() *strings.Reader {
	return strings.NewReader(strings.TrimSuffix(c.Value("input"), "\n") + "\n")
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
