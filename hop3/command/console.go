package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

// Console is the caller's end of a command that reads and writes while it
// runs.
type Console struct {
	Stdin          io.Reader // nil: empty
	Stdout, Stderr io.Writer // a Runtime writes to each from one goroutine
	// Terminal is the caller's; nil for none. Then a program gets one of its
	// own, and writes to Stdout only.
	Terminal *hop3.Terminal
}

// Lines returns where lines of text are written to, data and talk: at a
// terminal that is in raw mode each of them needs its carriage return.
func (con Console) Lines() (out, errs io.Writer) {
	if con.Terminal == nil {
		return con.Stdout, con.Stderr
	}
	return returning{con.Stdout}, returning{con.Stderr}
}

type returning struct{ w io.Writer }

func (r returning) Write(b []byte) (int, error) {
	if _, err := r.w.Write(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ErrNotAttached says that a command has no use for a Console: it is to be
// Run.
var ErrNotAttached = errors.New("the command does not run at a console")

// Attach runs a command at a console and returns its exit code. The checks are
// those of Run, and so are the errors, but for ErrNotAttached.
func (c *Commands) Attach(ctx context.Context, r Request, con Console) (exit int, err error) {
	call := c.newCall(r)
	cmd, err := c.prepare(ctx, call, r)
	if err != nil {
		return 0, err
	}
	if cmd.Attach == nil {
		return 0, ErrNotAttached
	}
	exit, err = cmd.Attach(platform.As(ctx, call.Actor()), call, con)
	return exit, call.explain(ctx, err)
}

// attach runs a one-off command at the console. Its output goes through pipes
// of ours, which hold what a command that has ended wrote last, however long
// the caller takes to read it.
func (con Console) attach(ctx context.Context, run func(cmd hop3.OneOff) (int, error)) (exit int, err error) {
	stdout, err := newOutlet(con.Stdout)
	if err != nil {
		return 0, err
	}
	defer stdout.close()
	stderr, err := newOutlet(con.Stderr)
	if err != nil {
		return 0, err
	}
	defer stderr.close()
	exit, err = run(hop3.OneOff{Stdin: con.Stdin, Stdout: stdout.in, Stderr: stderr.in, Terminal: con.Terminal})
	stdout.drain(ctx)
	stderr.drain(ctx)
	return exit, err
}

// outlet is a pipe that is copied to a writer.
type outlet struct {
	in, out *os.File
	copied  chan struct{}
}

func newOutlet(to io.Writer) (*outlet, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("opening a pipe: %w", err)
	}
	o := &outlet{in, out, make(chan struct{})}
	go func() {
		defer close(o.copied)
		defer out.Close()                // nobody reads on: the command is told
		defer func() { _ = recover() }() // a panic of somebody else's Writer
		_, _ = io.Copy(to, out)          // the caller is gone, and ctx says so
	}()
	return o, nil
}

// drain waits until all that was written has been copied, or ctx ends.
func (o *outlet) drain(ctx context.Context) {
	o.in.Close()
	select {
	case <-o.copied:
	case <-ctx.Done():
	}
}

func (o *outlet) close() {
	o.in.Close()
	o.out.Close()
}
