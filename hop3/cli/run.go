package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// run is `app run`: a command with this program's input, output and exit
// status, at a terminal when this one is.
func run(ctx context.Context, p *program, args []string) error {
	tty, args := p.wantsTTY(args)
	if p.flags.json {
		return p.remote(ctx, append([]string{"app", "run"}, args...))
	}
	err := p.attach(ctx, append([]string{"app", "run"}, args...), tty)
	if errors.Is(err, client.ErrNoConsole) && tty != always {
		return p.remote(ctx, append([]string{"app", "run"}, args...))
	}
	return err
}

// shell is `app shell`.
func shell(ctx context.Context, p *program, args []string) error {
	tty, args := p.wantsTTY(args)
	if p.flags.json {
		return exitf(api.ExitUsage, "A shell has no answer to show as JSON.")
	}
	return p.attach(ctx, append([]string{"app", "shell"}, args...), tty)
}

// whether a command gets a terminal.
type whether int

const (
	never  whether = iota
	usual          // as this program has one
	always         // asked for
)

// wantsTTY takes -t, -T and -i out of the arguments before a program.
func (p *program) wantsTTY(args []string) (whether, []string) {
	tty := never
	if isTerminal(p.In) && isTerminal(p.Out) {
		tty = usual
	}
	var rest []string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-t" || arg == "--tty" || arg == "-it" || arg == "-ti":
			tty = always
		case arg == "-T" || arg == "--no-tty":
			tty = never
		case arg == "-i" || arg == "--interactive": // it always is
		case (arg == "--input" || arg == "--type") && i+1 < len(args):
			rest = append(rest, arg, args[i+1])
			i++
		case arg == "--" || !strings.HasPrefix(arg, "-"):
			return tty, append(rest, args[i:]...)
		default:
			rest = append(rest, arg)
		}
	}
	return tty, rest
}

// attach runs a command line at a console and makes its exit code ours.
func (p *program) attach(ctx context.Context, words []string, tty whether) error {
	words, err := p.addApp(words)
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	// Whatever ends this program, the terminal is given back as it was.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	con := client.Console{Stdin: p.In, Stdout: p.Out, Stderr: p.Err}
	if tty != never {
		restore, err := p.terminal(ctx, &con)
		if err != nil {
			return err
		}
		defer restore()
	}
	code, err := c.Attach(ctx, words, con)
	if err != nil {
		return err
	}
	return exitWith(code)
}

// terminal describes the terminal, and lets the command at the other end have
// every key: restore makes it ours again.
func (p *program) terminal(ctx context.Context, con *client.Console) (restore func(), err error) {
	con.Terminal = &client.Terminal{Type: firstOf(p.getenv("TERM"), "xterm"), Rows: 24, Columns: 80}
	ctx, cancel := context.WithCancel(ctx)
	if out, ok := p.Out.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		if size, ok := sizeOf(out); ok {
			con.Terminal.Rows, con.Terminal.Columns = size[0], size[1]
		}
		con.Terminal.Resizes = watchSize(ctx, out)
	}
	in, ok := p.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return cancel, nil
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		cancel()
		return nil, err
	}
	return func() {
		cancel()
		_ = term.Restore(int(in.Fd()), before) // the terminal is gone, or as it was
	}, nil
}

// sizeOf returns a terminal's rows and columns.
func sizeOf(f *os.File) (size [2]uint16, ok bool) {
	columns, rows, err := term.GetSize(int(f.Fd()))
	const most = 1 << 15
	if err != nil || rows <= 0 || columns <= 0 || rows > most || columns > most {
		return size, false
	}
	return [2]uint16{uint16(rows), uint16(columns)}, true
}

// watchSize tells of a terminal's new sizes until ctx ends.
func watchSize(ctx context.Context, f *os.File) <-chan [2]uint16 {
	sizes := make(chan [2]uint16)
	changes, stop := sizeChanges()
	go func() {
		defer stop()
		last, _ := sizeOf(f)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changes:
			}
			size, ok := sizeOf(f)
			if !ok || size == last {
				continue
			}
			last = size
			select {
			case sizes <- size:
			case <-ctx.Done():
				return
			}
		}
	}()
	return sizes
}
