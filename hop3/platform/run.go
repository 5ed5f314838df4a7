package platform

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// RunOneOff runs a command in the environment and directory of the app's live
// release and returns its exit code.
func (p *Platform) RunOneOff(ctx context.Context, _ Actor, name string, cmd hop3.OneOff) (exit int, err error) {
	unlock, _, live, err := p.lockLive(ctx, name)
	if err != nil {
		return 0, err
	}
	unlock() // the command may run long, and changes nothing of ours
	if len(cmd.Args) == 0 && cmd.Shell == "" {
		return 0, hop3.Errorf(hop3.CodeInvalid, "Usage: hop3 app run <command> …")
	}
	return p.Runtime.Run(ctx, p.launch(live), cmd)
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
