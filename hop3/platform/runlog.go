package platform

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// Bounds on the log of one run, or deploy: what lies between its first and its last part
// is left out.
const (
	runLogHead = 768 << 10
	runLogTail = 256 << 10
)

// runLog receives the output of a run or a deploy, which neither fills the disk nor is held
// up by it. It is safe for concurrent use.
type runLog struct {
	also *detachable // gets everything too; nil: nobody

	mu      sync.Mutex
	file    io.WriteCloser // nil: none
	written int            // to file
	tail    []byte
	dropped int64
	err     error
}

// Write never fails: a run does not end because its log cannot be written.
func (l *runLog) Write(b []byte) (int, error) {
	l.also.write(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := b
	if n := min(runLogHead-l.written, len(rest)); n > 0 {
		l.put(rest[:n])
		l.written += n
		rest = rest[n:]
	}
	l.tail = append(l.tail, rest...)
	if len(l.tail) > 2*runLogTail {
		l.cut()
	}
	return len(b), nil
}

// cut keeps the last part of the tail.
func (l *runLog) cut() {
	if over := len(l.tail) - runLogTail; over > 0 {
		l.dropped += int64(over)
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
}

func (l *runLog) put(b []byte) {
	if l.file != nil && l.err == nil {
		_, l.err = l.file.Write(b)
	}
}

// close writes the last part and returns what went wrong with the file.
func (l *runLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut()
	if l.dropped > 0 {
		l.put(fmt.Appendf(nil, "\n… %d bytes are left out here …\n", l.dropped))
	}
	l.put(l.tail)
	l.tail = nil
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.err, l.file.Close())
	l.file = nil
	return err
}

// readLog calls line with each line of a log that a runLog wrote, as people may
// see it. A log that is gone is a CodeNotFound error.
func (p *Platform) readLog(ctx context.Context, app, file, what string, line func(string) error) error {
	dir, err := p.Files.Open(p.logDir(app))
	if err != nil {
		return fmt.Errorf("opening the logs of '%s': %w", app, err)
	}
	// Not what somebody put there in its place, a pipe say.
	info, err := fs.Stat(dir, file)
	if err != nil || !info.Mode().IsRegular() {
		return hop3.Errorf(hop3.CodeNotFound, "The log of %s is gone.", what)
	}
	f, err := dir.Open(file)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", what, err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewReader(io.LimitReader(f, 2*(runLogHead+runLogTail)))
	for ctx.Err() == nil {
		text, err := lines.ReadString('\n')
		if text != "" {
			if err := line(printable(text)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the log of %s: %w", what, err)
		}
	}
	return context.Cause(ctx)
}

// detachable is a Writer of somebody who may leave.
type detachable struct {
	mu sync.Mutex
	w  io.Writer // nil: has left
}

func (d *detachable) write(b []byte) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.w == nil {
		return
	}
	defer func() {
		if recover() != nil { // a panic of somebody else's Writer
			d.w = nil
		}
	}()
	if _, err := d.w.Write(b); err != nil {
		d.w = nil
	}
}

// detach returns once nothing is written any more.
func (d *detachable) detach() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.w = nil
}
