package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// tunnel lets programs of this machine talk to an addon, or to a process of an
// app, by a local port, until it is interrupted.
func tunnel(ctx context.Context, p *program, args []string) error {
	port, args, err := option(args, "--port", "-p")
	if err != nil {
		return err
	}
	kind, args, err := option(args, "--type")
	if err != nil {
		return err
	}
	number := 0
	if port != "" {
		if number, err = strconv.Atoi(port); err != nil || number < 0 || number > 65535 {
			return exitf(api.ExitUsage, "--port wants a number up to 65535, not %q", port)
		}
	}
	target, words := "", []string(nil)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		target, args = args[0], args[1:]
		words = []string{"addon", "tunnel", target}
	}
	if err := noMore(args); err != nil {
		return err
	}
	if target == "" {
		if target, err = p.resolveApp(); err != nil {
			return err
		}
		words = []string{"app", "tunnel", "--app", target}
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	if kind != "" {
		words = append(words, "--type", kind)
	}
	// What is wrong is told now, and not to the first program that connects.
	if _, err := c.Call(ctx, words, api.Extra{}, nil); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	if err != nil {
		return exitf(api.ExitGeneral, "The port cannot be opened here: %v", err)
	}
	p.printer.line(fmt.Sprintf("%s leads to '%s'. Ctrl-C ends it.", l.Addr(), target))
	return p.tunnelAll(ctx, l, func(ctx context.Context, con client.Console) error {
		_, err := c.Attach(ctx, words, con)
		return err
	})
}

// tunnelAll connects who comes to a listener, until ctx ends.
func (p *program) tunnelAll(ctx context.Context, l net.Listener, connect func(context.Context, client.Console) error) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var under sync.WaitGroup
	defer under.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		under.Go(func() {
			defer conn.Close()
			ended := context.AfterFunc(ctx, func() { conn.Close() })
			defer ended()
			if err := connect(ctx, client.Console{Stdin: conn, Stdout: conn, Stderr: p.Err}); err != nil && ctx.Err() == nil {
				p.printer.talk("red", "ERROR: "+err.Error())
			}
		})
	}
}
