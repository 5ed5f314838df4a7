// Package cli is the command line: it finds out which server and which app a
// person means, sends what they typed, and shows the answer. A file holds one
// step.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// Version is the client's version.
const Version = "0.8.0"

// Stdio is where a command line reads and writes.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs a command line, without the program's name, and returns the exit
// status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not logged in, 5 not
// allowed, 6 conflict, 7 server or network, 8 failed deploy, 10 declined, 130
// interrupted.
//
// On a server's own host hostSocket returns the socket of that server, "" when
// none runs: who may use it needs no login. It is nil elsewhere.
func Main(args []string, stdio Stdio, hostSocket func() string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	p := &program{Stdio: stdio, getenv: os.Getenv, dir: dir, hostSocket: hostSocket}
	return p.main(ctx, args)
}

// output is a writer that remembers what went wrong with it.
type output struct {
	io.Writer
	err error
}

// Write writes, and after an error no more.
func (o *output) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.Writer.Write(b)
	o.err = err
	return n, err
}

// program is one run of the command line.
type program struct {
	Stdio
	getenv func(string) string
	dir    string // where it was called
	// hostSocket is Main's; nil off a host.
	hostSocket func() string

	flags    flags
	settings *settings
	printer  *printer
}

// exit is an error with an exit status of its own; without a message it says
// nothing.
type exit struct {
	code    int
	message string
}

func (e exit) Error() string { return e.message }

func exitf(code int, format string, args ...any) error {
	return exit{code, fmt.Sprintf(format, args...)}
}

func (p *program) main(ctx context.Context, args []string) int {
	p.printer = newPrinter(p.Stdio, p.getenv)
	out := &output{Writer: p.printer.out}
	p.printer.out = out
	err := p.run(ctx, args)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = exit{api.ExitInterrupted, ""}
	}
	p.printer.flush(err)
	if err == nil && out.err != nil { // what was asked for did not arrive
		err = exitf(api.ExitGeneral, "The output cannot be written: %v", out.err)
	}
	return p.report(err)
}

// run is the steps from the arguments to the answer.
func (p *program) run(ctx context.Context, args []string) error {
	var err error
	if p.settings, err = loadSettings(p.getenv); err != nil {
		return err
	}
	if len(args) > 0 && args[0] == completeWord {
		p.complete(ctx, args[1:])
		return nil
	}
	if p.flags, err = parseFlags(args, p.getenv); err != nil {
		return err
	}
	p.printer.configure(p.flags)
	words := backupOfAll(p.expandAlias(p.flags.words))
	switch {
	case p.flags.version:
		words = []string{"version"}
	case p.flags.help:
		words = append([]string{"help"}, words...)
	case len(words) == 0:
		words = []string{"help"}
	}
	if cmd, rest := findLocal(words); cmd != nil {
		return cmd.run(ctx, p, rest)
	}
	return p.remote(ctx, words)
}

// remote runs a command on the server.
func (p *program) remote(ctx context.Context, words []string) error {
	words, err := p.addApp(p.placeMoved(words))
	if err != nil {
		return err
	}
	if words, err = p.fillIn(ctx, words); err != nil {
		return err
	}
	if p.flags.dryRun {
		// A command that cannot only say what it would do refuses, and does not
		// do it.
		end := len(words)
		if i := slices.Index(words, "--"); i >= 0 {
			end = i
		}
		words = slices.Insert(slices.Clone(words), end, "--dry-run")
	}
	words, from, err := p.inputFile(words)
	if err != nil {
		return err
	}
	if from != nil {
		defer from.Close()
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	if err := p.confirm(ctx, c, words); err != nil {
		return err
	}
	if done, err := p.export(ctx, c, words); done || err != nil {
		return err
	}
	_, deploys := match(followed, words)
	_, watches := match(watched, words)
	streaming := deploys+watches > 0 || slices.Contains(words, "--wait")
	input, removeInput, err := p.input(ctx, words, from)
	if err != nil {
		return err
	}
	defer removeInput()
	if done, err := p.importData(ctx, c, words, input); done || err != nil {
		return err
	}
	answered := p.waiting("Waiting for the server")
	res, err := c.Call(ctx, words, api.Extra{Verbosity: api.Verbosity(p.flags.verbosity), Streaming: streaming}, input)
	answered()
	if err != nil {
		return err
	}
	if len(words) > 1 && words[0] == "addon" && words[1] == "exists" && !p.flags.json {
		return existence(res)
	}
	if n := len(res.Items); deploys == 0 && n > 0 && res.Items[n-1].T == api.KindStream {
		stream := res.Items[n-1].StreamID
		res.Items = res.Items[:n-1]
		if err := p.show(res); err != nil {
			return err
		}
		return p.follow(ctx, c, stream)
	}
	return p.showOrFollow(ctx, c, res)
}

// existence makes an exit status of an answer to `addon exists`: 0, or 1 when
// there is none.
func existence(res client.Result) error {
	for _, item := range res.Items {
		if exists, ok := item.Data.(map[string]any)["exists"].(bool); ok && exists {
			return nil
		} else if ok {
			return exitWith(1)
		}
	}
	return exitWith(api.ExitUsage)
}

// showOrFollow prints an answer, or what a deploy that it began does.
func (p *program) showOrFollow(ctx context.Context, c *client.Client, res client.Result) error {
	if len(res.Items) == 1 && res.Items[0].T == api.KindStream {
		return p.followDeploy(ctx, c, res.Items[0].StreamID)
	}
	return p.show(res)
}

// show prints an answer. An error among the items makes the exit status.
func (p *program) show(res client.Result) error {
	code := api.ExitOK
	p.paged(func() {
		for i, item := range res.Items {
			p.printer.item(item, res.Raw[i])
			if item.T == api.KindError && code == api.ExitOK {
				code = max(item.ExitCode, api.ExitGeneral)
			}
		}
	})
	if code != api.ExitOK {
		return exit{code, ""}
	}
	return nil
}

// report tells the error and returns the exit status.
func (p *program) report(err error) int {
	if err == nil {
		return api.ExitOK
	}
	code := exitCode(err)
	p.printer.failure(err, code)
	return code
}

func exitCode(err error) int {
	var (
		own         exit
		server      *client.Error
		unreachable *client.Unreachable
	)
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &server):
		return server.Exit()
	case errors.As(err, &unreachable):
		return api.ExitNetwork
	default:
		return api.ExitGeneral
	}
}
