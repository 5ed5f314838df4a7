package cli

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// Caller runs command lines on a server. Errors that it answers are
// *client.Errors.
type Caller interface {
	Call(ctx context.Context, words []string, extra api.Extra) ([]api.Item, error)
	// Attach runs a command that reads and writes while it runs; it reports
	// false when the command does not.
	Attach(ctx context.Context, words []string) (exit int, attached bool, err error)
}

// Serve runs a command line for somebody who has come to the server with
// another client, such as ssh, and returns the exit status of Main. Nothing is
// read of this machine: no settings, no files, no environment.
func Serve(ctx context.Context, args []string, stdio Stdio, caller Caller) int {
	p := &program{Stdio: stdio, getenv: func(string) string { return "" }, settings: &settings{}}
	p.printer = newPrinter(stdio, p.getenv)
	err := p.serve(ctx, args, caller)
	p.printer.flush(err)
	return p.report(err)
}

func (p *program) serve(ctx context.Context, args []string, caller Caller) error {
	var err error
	if p.flags, err = parseFlags(args, p.getenv); err != nil {
		return err
	}
	p.printer.configure(p.flags)
	words := p.expandAlias(p.flags.words)
	switch {
	case p.flags.context != "":
		return exitf(api.ExitUsage, "--context is for a client that knows several servers: this is one.")
	case p.flags.help:
		words = append([]string{"help"}, words...)
	case len(words) == 0:
		words = []string{"help"}
	}
	if words, err = p.confirmed(p.placeApp(p.withoutTTY(words))); err != nil {
		return err
	}
	if !p.flags.json {
		code, attached, err := caller.Attach(ctx, words)
		if err != nil {
			return err
		}
		if attached {
			return exitWith(code)
		}
	}
	items, err := caller.Call(ctx, words, api.Extra{Verbosity: api.Verbosity(p.flags.verbosity)})
	if err != nil {
		return err
	}
	return p.show(client.Result{Items: items, Raw: make([]json.RawMessage, len(items))})
}

// withoutTTY takes the options out of `run` and `shell` that say what ssh's own
// -t says already.
func (p *program) withoutTTY(words []string) []string {
	name, n := match(set("run", "app run", "shell", "app shell"), words)
	if name == "" {
		return words
	}
	_, rest := p.wantsTTY(words[n:])
	return append(slices.Clone(words[:n]), rest...)
}

// placeApp puts the --app that was given behind the command's words. The server
// says when one is missing.
func (p *program) placeApp(words []string) []string {
	if p.flags.app == "" {
		return words
	}
	_, n := match(scoped, words)
	if n == 0 {
		if _, n = match(optional, words); n == 0 {
			n = len(words)
		}
	}
	return slices.Insert(slices.Clone(words), n, "--app", p.flags.app)
}

// confirmed refuses a command that destroys something unless it came with a
// confirmation: nobody is asked.
func (p *program) confirmed(words []string) ([]string, error) {
	name, n := match(dangerous, words)
	if n == 0 || p.flags.yes {
		return words, nil
	}
	target := target(words[n:])
	if p.flags.confirm != "" && p.flags.confirm == target {
		return words, nil
	}
	return nil, exitf(api.ExitDeclined, "'%s' %s. Confirm with --confirm %s, or --yes. Nothing was done.", name, loss(name, target), target)
}

func exitWith(code int) error {
	if code == api.ExitOK {
		return nil
	}
	return exit{code, ""}
}
