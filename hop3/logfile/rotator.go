// Package logfile is the log files of instances: plain files that processes
// append to, <type>.<ordinal>.log. A Rotator, which the processes know nothing
// of, keeps them below a size and writes down when they grew; Read merges the
// lines of many by time, and follows them.
//
// The package needs Linux.
package logfile

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Rotator keeps log files from growing over a size. Instances know nothing of
// it and hold their file open, so what a file holds is copied away and the
// file is emptied; since they append, they go on at its new end. A line
// written between the copy and the emptying is lost.
//
// It also keeps the times of the lines, in a file beside each log.
//
// It sleeps until a file is written to (inotify). A busy file is looked at
// every busyPause, so that it outgrows the size by no more than the disk takes
// in that time; one that outgrows it each time, sooner.
type Rotator struct {
	max     int64
	logger  *slog.Logger
	inotify *os.File // nil: not available, all files are looked at every slowPause

	looking sync.Mutex // held while a file is looked at; before mu

	mu      sync.Mutex
	fd      int // inotify's descriptor; -1 when there is none, or none any more
	files   map[string]*watched
	watches map[int32]string // inotify's number -> file
	polled  map[string]bool  // files beyond the kernel's limit of watches
}

// watched is a file that instances write to.
type watched struct {
	holders map[string]bool // markers of the instances

	// Under Rotator.looking:
	clock  *clock
	failed bool // its last rotation
}

const (
	busyPause  = 50 * time.Millisecond
	floodPause = 5 * time.Millisecond
	slowPause  = 2 * time.Second
)

// NewRotator returns a Rotator for files of max bytes. Run makes it work.
func NewRotator(max int64, logger *slog.Logger) *Rotator {
	r := &Rotator{
		max:     max,
		logger:  logger,
		fd:      -1,
		files:   make(map[string]*watched),
		watches: make(map[int32]string),
		polled:  make(map[string]bool),
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		logger.Warn("log files are watched by polling", slog.Any("error", err))
		return r
	}
	r.fd, r.inotify = fd, os.NewFile(uintptr(fd), "inotify")
	return r
}

// Open opens a log file for appending. Who may write to its directory can
// make it neither a link to another file nor a pipe that nobody reads.
func Open(file string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, err
	}
	f, err := openRegular(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if c := newClock(file, 0); c.size == 0 {
		// Before the first line, so that its time is known. Without, it is not.
		if info, err := f.Stat(); err == nil {
			_ = c.observe(info, time.Now())
		}
	}
	return f, nil
}

// Watch begins to watch a file for an instance, and again when the file was
// replaced.
func (r *Rotator) Watch(file, holder string) {
	r.mu.Lock()
	w := r.files[file]
	if w == nil {
		w = &watched{holders: make(map[string]bool)}
		r.files[file] = w
	}
	w.holders[holder] = true
	if r.fd >= 0 {
		wd, err := unix.InotifyAddWatch(r.fd, file, unix.IN_MODIFY)
		if err == nil {
			r.watches[int32(wd)] = file
			delete(r.polled, file)
		} else {
			r.logger.Warn("a log file is watched by polling", slog.String("file", file), slog.Any("error", err))
			r.polled[file] = true
			_ = r.inotify.SetReadDeadline(time.Now()) // wakes Run
		}
	}
	r.mu.Unlock()
	r.looking.Lock()
	w.clock = nil // it may have been made anew
	r.looking.Unlock()
	r.look(file) // it may have grown while no server ran
}

// Unwatch ends what Watch began.
func (r *Rotator) Unwatch(file, holder string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.files[file]
	if w == nil {
		return
	}
	if delete(w.holders, holder); len(w.holders) > 0 {
		return
	}
	delete(r.files, file)
	delete(r.polled, file)
	for wd, f := range r.watches {
		if f == file {
			_, _ = unix.InotifyRmWatch(r.fd, uint32(wd)) // fails when the file is gone
			delete(r.watches, wd)
		}
	}
}

// Run rotates until ctx is done.
func (r *Rotator) Run(ctx context.Context) {
	if r.inotify == nil {
		for sleep(ctx, slowPause) {
			r.lookAll(r.all())
		}
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = r.inotify.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	events := make([]byte, 16<<10)
	for {
		r.limitRead()
		if ctx.Err() != nil {
			return
		}
		flood := false
		n, err := r.inotify.Read(events)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			flood = r.lookAll(r.unwatched())
		case err != nil:
			r.logger.Error("watching log files", slog.Any("error", err))
			return
		default:
			flood = r.lookAll(r.written(events[:n]))
		}
		pause := busyPause
		if flood {
			pause = floodPause
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

func (r *Rotator) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fd < 0 {
		return nil
	}
	r.fd = -1
	return r.inotify.Close()
}

// Private

func (r *Rotator) all() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := make(map[string]bool)
	for f := range r.files {
		files[f] = true
	}
	return files
}

func (r *Rotator) unwatched() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.polled)
}

// limitRead lets the next read of events end in time to look at the files that
// have none.
func (r *Rotator) limitRead() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var deadline time.Time
	if len(r.polled) > 0 {
		deadline = time.Now().Add(slowPause)
	}
	_ = r.inotify.SetReadDeadline(deadline)
}

// lookAll looks at files; it reports whether one of them was rotated.
func (r *Rotator) lookAll(files map[string]bool) (rotated bool) {
	for f := range files {
		if r.look(f) {
			rotated = true
		}
	}
	return rotated
}

// look notes how long a file is now, and rotates it when that is too long.
func (r *Rotator) look(file string) (rotated bool) {
	r.looking.Lock()
	defer r.looking.Unlock()
	r.mu.Lock()
	w := r.files[file]
	r.mu.Unlock()
	if w == nil {
		return false
	}
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	if w.clock == nil {
		w.clock = newClock(file, r.max)
	}
	if err := w.clock.observe(info, time.Now()); err != nil {
		r.logger.Debug("noting the times of a log", slog.String("file", file), slog.Any("error", err))
	}
	if info.Size() <= r.max {
		return false
	}
	err = rotate(file, r.max, w.clock)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if !w.failed { // a full disk is not filled with words about it
			r.logger.Warn("rotating a log", slog.String("file", file), slog.Any("error", err))
		}
		w.failed = true
		return false
	}
	w.failed = false
	return err == nil
}

// sleep returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
