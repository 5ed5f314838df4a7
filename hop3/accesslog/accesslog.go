// Package accesslog writes down the requests of apps: a file for each app,
// apps/<app>/log/access.log, with a line for each request.
//
// Requests never wait for the disk. Their lines are gathered in memory, within
// a bound; beyond it, and when the disk is full, lines are dropped and counted.
package accesslog

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/abilian/hop3/hop3/logfile"
)

// FileName is the name of the log in an app's directory of logs.
const FileName = logfile.AccessLog

const (
	// mostWaiting bounds the lines that wait for the disk, in bytes.
	mostWaiting = 16 << 20
	// pause is how long lines are gathered, so that a busy app costs a write
	// for many of them; fewer when there are as many bytes as soonWritten.
	pause       = 200 * time.Millisecond
	soonWritten = 1 << 20
	// mostOpen is how many files are open at a time, idle after how long one is
	// closed that is not written to.
	mostOpen = 64
	idle     = 10 * time.Second
	// mostKept bounds the memory that is kept from one write to the next.
	mostKept = 4 << 20
)

// Options are what a Log needs. All fields are required.
type Options struct {
	// Dir returns an app's directory of logs. Where it is not there, nothing is
	// written.
	Dir    func(app string) string
	Max    int64 // bytes at which a file is rotated
	Logger *slog.Logger
}

// Log writes the access logs of all apps. Its methods are safe for concurrent
// use.
type Log struct {
	options Options
	dropped atomic.Uint64
	wake    chan struct{} // of one place: there are lines
	hurry   chan struct{} // of one place: there are many
	closing chan struct{} // closed by Close
	closed  sync.Once
	done    chan struct{} // closed when all is written

	mu       sync.Mutex
	gathered map[string][]byte // by app
	size     int               // of all together, and of what is just being written
}

// Open returns a Log. Close ends it.
func Open(o Options) *Log {
	l := &Log{options: o, gathered: map[string][]byte{}, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		closing: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

// Add writes a request of an app down, some time later. It never waits.
func (l *Log) Add(app string, format Format, e *Entry) {
	text := lines.Get().(*[]byte)
	*text = e.append((*text)[:0], format)
	if !l.gather(app, *text) {
		l.dropped.Add(1)
	}
	if cap(*text) <= maxLine {
		lines.Put(text)
	}
}

// Dropped returns how many lines were not written, for want of room in memory
// or on the disk.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Close writes what was added before, and ends the log. Lines that are added
// later are lost.
func (l *Log) Close() {
	l.closed.Do(func() { close(l.closing) })
	<-l.done
}

// Private

// lines are the texts that are not used, of which none is long.
var lines = sync.Pool{New: func() any {
	text := make([]byte, 0, 512)
	return &text
}}

// gather keeps a line for the next write; false when there is no room.
func (l *Log) gather(app string, text []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.size
	if before+len(text) > mostWaiting {
		return false
	}
	l.size += len(text)
	l.gathered[app] = append(l.gathered[app], text...)
	if before == 0 {
		signal(l.wake)
	}
	if before < soonWritten && l.size >= soonWritten {
		signal(l.hurry)
	}
	return true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is known already
	}
}

// writer is the side of a Log that writes: one goroutine.
type writer struct {
	*Log
	spare   map[string][]byte // takes the place of what is gathered
	files   map[string]*file
	told    uint64 // dropped lines that the server's log knows of
	failing bool   // a write failed, and the server's log knows
}

type file struct {
	*logfile.Appender
	used time.Time
}

func (l *Log) run() {
	defer close(l.done)
	w := &writer{Log: l, spare: map[string][]byte{}, files: map[string]*file{}}
	for w.await() {
		w.flush()
	}
	w.flush()
	for app := range w.files {
		w.close(app)
	}
}

// await returns when there is something to write, false when that is for the
// last time.
func (w *writer) await() bool {
	for {
		var tick <-chan time.Time
		if len(w.files) > 0 {
			tick = time.After(idle)
		}
		select {
		case <-w.wake:
		case <-tick:
			w.closeIdle(time.Now())
			continue
		case <-w.closing:
			return false
		}
		select {
		case <-time.After(pause):
		case <-w.hurry:
		case <-w.closing:
			return false
		}
		return true
	}
}

// flush writes what is gathered.
func (w *writer) flush() {
	w.mu.Lock()
	batch, size := w.gathered, w.size
	w.gathered = w.spare
	w.mu.Unlock()
	failed := error(nil)
	for app, text := range batch {
		if len(text) == 0 {
			continue
		}
		// Without the directory the app was destroyed, and its log with it.
		if err := w.open(app).Write(text); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.dropped.Add(countLines(text))
			failed = err
		}
	}
	w.closeIdle(time.Now())
	w.tell(failed)
	w.recycle(batch)
	w.mu.Lock()
	if w.size -= size; w.size > 0 {
		signal(w.wake)
	}
	w.mu.Unlock()
}

// recycle keeps the memory of a batch for the next but one, within bounds.
func (w *writer) recycle(batch map[string][]byte) {
	kept := 0
	for app, text := range batch {
		if kept += cap(text); kept > mostKept || len(text) == 0 || len(batch) > mostOpen {
			delete(batch, app)
			continue
		}
		batch[app] = text[:0]
	}
	w.spare = batch
}

// tell tells the server's log of trouble when it begins, not again and again.
func (w *writer) tell(failed error) {
	dropped := w.Dropped()
	switch {
	case failed != nil && !w.failing:
		w.options.Logger.Warn("requests are served, and not written to access logs", slog.Any("error", failed))
	case failed == nil && w.failing:
		w.options.Logger.Warn("access logs are written again", slog.Uint64("dropped", dropped-w.told))
	case failed == nil && dropped > w.told:
		w.options.Logger.Warn("access logs lack lines: there were more than the disk took", slog.Uint64("dropped", dropped-w.told))
	}
	if w.failing = failed != nil; !w.failing {
		w.told = dropped
	}
}

func (w *writer) open(app string) *file {
	f := w.files[app]
	if f == nil {
		if len(w.files) >= mostOpen {
			w.closeOldest()
		}
		f = &file{Appender: logfile.NewAppender(filepath.Join(w.options.Dir(app), FileName), w.options.Max)}
		w.files[app] = f
	}
	f.used = time.Now()
	return f
}

func (w *writer) closeOldest() {
	oldest := ""
	for app, f := range w.files {
		if oldest == "" || f.used.Before(w.files[oldest].used) {
			oldest = app
		}
	}
	w.close(oldest)
}

func (w *writer) closeIdle(now time.Time) {
	for app, f := range w.files {
		if now.Sub(f.used) >= idle {
			w.close(app)
		}
	}
}

func (w *writer) close(app string) {
	_ = w.files[app].Close() // each write was its own
	delete(w.files, app)
}

func countLines(text []byte) (n uint64) {
	for _, c := range text {
		if c == '\n' {
			n++
		}
	}
	return n
}
