package platform

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// RunOneOff runs a command in the environment and directory of the app's live
// release and returns its exit code. The server's end ends it: Shutdown waits
// for that.
func (p *Platform) RunOneOff(ctx context.Context, who Actor, name string, cmd hop3.OneOff) (exit int, err error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return 0, err
	}
	if len(cmd.Args) == 0 && cmd.Shell == "" {
		return 0, hop3.Errorf(hop3.CodeInvalid, "Usage: hop3 app run <command> …")
	}
	return p.runOneOff(ctx, name, func(hop3.Release) (hop3.OneOff, error) { return cmd, nil })
}

// shell runs the shell that the release has: bash where there is one.
const shell = "if command -v bash >/dev/null 2>&1; then exec bash; fi; exec sh"

// RunShell runs a shell in the environment and directory of the app's live
// release and returns its exit code. A process type, which may be "", is told
// to it (HOP3_PROCESS).
func (p *Platform) RunShell(ctx context.Context, who Actor, name, processType string, cmd hop3.OneOff) (exit int, err error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return 0, err
	}
	return p.runOneOff(ctx, name, func(live hop3.Release) (hop3.OneOff, error) {
		cmd.Shell, cmd.Name = shell, "shell"
		if processType == "" {
			return cmd, nil
		}
		var types []string
		for _, process := range live.Processes {
			types = append(types, process.Type)
		}
		if !slices.Contains(types, processType) {
			return cmd, hop3.Errorf(hop3.CodeInvalid, "App '%s' has no process type %.80q.", name, processType).WithHint("It has: %s.", strings.Join(types, ", "))
		}
		cmd.Name = "shell." + processType
		return cmd, nil
	})
}

func (p *Platform) runOneOff(ctx context.Context, name string, command func(live hop3.Release) (hop3.OneOff, error)) (exit int, err error) {
	unlock, _, live, err := p.lockLive(ctx, name)
	if err != nil {
		return 0, err
	}
	unlock() // the command may run long, and changes nothing of ours
	cmd, err := command(live)
	if err != nil {
		return 0, err
	}
	p.happened(ranEvent(ctx, live, cmd))
	leave, ok := p.tasks.enter()
	if !ok {
		return 0, hop3.Errorf(hop3.CodeUnavailable, "The server is shutting down. Try again in a moment.")
	}
	defer leave()
	ctx, done := p.interruptible(ctx)
	defer done()
	exit, err = p.Runtime.Run(ctx, p.launch(live), cmd)
	if err != nil && context.Cause(ctx) == errShutdown {
		return exit, hop3.Errorf(hop3.CodeUnavailable, "The command was ended: the server is shutting down.")
	}
	return exit, err
}

// enter counts the caller among the tasks, for Shutdown to wait for, until it
// leaves. It reports false once Interrupt was called.
func (t *tasks) enter() (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false
	}
	t.wg.Add(1)
	return sync.OnceFunc(t.wg.Done), true
}

// lineWriter calls line for each line written to it.
type lineWriter struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	line func(string)
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(b)
	for {
		i := bytes.IndexByte(w.buf.Bytes(), '\n')
		if i < 0 {
			if w.buf.Len() > 64<<10 { // a line without an end must not fill the memory
				w.line(string(w.buf.Next(w.buf.Len())))
			}
			return len(b), nil
		}
		w.line(strings.TrimRight(string(w.buf.Next(i+1)), "\r\n"))
	}
}

// flush sends a last line that has no end.
func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf.Len() > 0 {
		w.line(w.buf.String())
		w.buf.Reset()
	}
}

func joinLines(lines []string) string { return strings.Join(lines, "\n") }
