package caddymodules

import (
	"context"
	"errors"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/client"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/rpc"
	"github.com/abilian/hop3/hop3/sshd"
)

// sshCommand runs a command line that came over SSH, as the key's user, and
// returns its exit code. It is what the client would be with the same words,
// but for what the client does on its own machine.
func (c *core) sshCommand(ctx context.Context, user hop3.User, words []string, con sshd.Console) int {
	caller := sshCaller{
		commands: c.api.Load().Commands,
		user:     user,
		address:  sshd.From(ctx),
		console:  command.Console{Stdin: con.Stdin, Stdout: con.Stdout, Stderr: con.Stderr, Terminal: con.Terminal},
	}
	out, errs := caller.console.Lines()
	return cli.Serve(ctx, words, cli.Stdio{In: con.Stdin, Out: out, Err: errs}, caller)
}

// sshCaller calls commands as a user.
type sshCaller struct {
	commands *command.Commands
	user     hop3.User
	address  string
	console  command.Console
}

// Call implements cli.Caller.
func (s sshCaller) Call(ctx context.Context, words []string, extra api.Extra) ([]api.Item, error) {
	request := s.request(words)
	request.Extra.Verbosity = int(extra.Verbosity)
	items, err := s.commands.Run(ctx, request)
	return items, answered(err)
}

// Attach implements cli.Caller.
func (s sshCaller) Attach(ctx context.Context, words []string) (exit int, attached bool, err error) {
	exit, err = s.commands.Attach(ctx, s.request(words), s.console)
	if errors.Is(err, command.ErrNotAttached) {
		return 0, false, nil
	}
	return exit, true, answered(err)
}

func (s sshCaller) request(words []string) command.Request {
	return command.Request{Args: words, User: &s.user, Source: command.SSH, Address: s.address}
}

// answered returns an error as a client would have got it.
func answered(err error) error {
	if err == nil {
		return nil
	}
	return client.ServerError(rpc.WireError(err))
}
