package platform

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Bounds on the log of one run: what lies between its first and its last part
// is left out.
const (
	cronLogHead = 768 << 10
	cronLogTail = 256 << 10
)

// runLog receives the output of a run, which neither fills the disk nor is held
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
	if n := min(cronLogHead-l.written, len(rest)); n > 0 {
		l.put(rest[:n])
		l.written += n
		rest = rest[n:]
	}
	l.tail = append(l.tail, rest...)
	if len(l.tail) > 2*cronLogTail {
		l.cut()
	}
	return len(b), nil
}

// cut keeps the last part of the tail.
func (l *runLog) cut() {
	if over := len(l.tail) - cronLogTail; over > 0 {
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
