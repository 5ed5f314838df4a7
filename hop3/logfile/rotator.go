// Package logfile is the log files of instances: plain files that processes
// append to, kept below a size by a Rotator that the processes know nothing of.
//
// The package needs Linux.
package logfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Rotator keeps log files from growing over a size. Instances know nothing of
// it and hold their file open, so what a file holds is copied away and the
// file is emptied; since they append, they go on at its new end. A line
// written between the copy and the emptying is lost.
//
// It sleeps until a file is written to (inotify). A busy file is looked at
// every busyPause, so that it outgrows the size by no more than the disk takes
// in that time.
type Rotator struct {
	max     int64
	logger  *zap.Logger
	inotify *os.File // nil: not available, all files are looked at every slowPause

	mu      sync.Mutex
	fd      int                        // inotify's descriptor; -1 when there is none, or none any more
	holders map[string]map[string]bool // file -> markers of the instances that write to it
	watches map[int32]string           // inotify's number -> file
	polled  map[string]bool            // files beyond the kernel's limit of watches
}

const (
	busyPause = 50 * time.Millisecond
	slowPause = 2 * time.Second
)

// NewRotator returns a Rotator for files of max bytes. Run makes it work.
func NewRotator(max int64, logger *zap.Logger) *Rotator {
	r := &Rotator{
		max:     max,
		logger:  logger,
		fd:      -1,
		holders: make(map[string]map[string]bool),
		watches: make(map[int32]string),
		polled:  make(map[string]bool),
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		logger.Warn("log files are watched by polling", zap.Error(err))
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
	return openRegular(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
}

// Watch begins to watch a file for an instance, and again when the file was
// replaced.
func (r *Rotator) Watch(file, holder string) {
	r.mu.Lock()
	if r.holders[file] == nil {
		r.holders[file] = make(map[string]bool)
	}
	r.holders[file][holder] = true
	if r.fd >= 0 {
		wd, err := unix.InotifyAddWatch(r.fd, file, unix.IN_MODIFY)
		if err == nil {
			r.watches[int32(wd)] = file
			delete(r.polled, file)
		} else {
			r.logger.Warn("a log file is watched by polling", zap.String("file", file), zap.Error(err))
			r.polled[file] = true
			_ = r.inotify.SetReadDeadline(time.Now()) // wakes Run
		}
	}
	r.mu.Unlock()
	r.rotate(file) // it may have grown while no server ran
}

// Unwatch ends what Watch began.
func (r *Rotator) Unwatch(file, holder string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.holders[file], holder)
	if len(r.holders[file]) > 0 {
		return
	}
	delete(r.holders, file)
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
			r.rotateAll(r.all())
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
		n, err := r.inotify.Read(events)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.rotateAll(r.unwatched())
		case err != nil:
			r.logger.Error("watching log files", zap.Error(err))
			return
		default:
			r.rotateAll(r.written(events[:n]))
		}
		if !sleep(ctx, busyPause) {
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
	for f := range r.holders {
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

func (r *Rotator) rotateAll(files map[string]bool) {
	for f := range files {
		r.rotate(f)
	}
}

// rotate empties a file that is larger than the limit, keeping its end as
// file.1 and what was there as file.2.
func (r *Rotator) rotate(file string) {
	if err := rotate(file, r.max); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.logger.Warn("rotating a log", zap.String("file", file), zap.Error(err))
	}
}

func rotate(file string, limit int64) error {
	info, err := os.Lstat(file)
	if err != nil || info.Size() <= limit {
		return err
	}
	src, err := openRegular(file, os.O_RDWR)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.Rename(file+".1", file+".2"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dst, err := os.OpenFile(file+".1", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if _, err := src.Seek(max(info.Size()-limit, 0), io.SeekStart); err != nil {
		return errors.Join(err, dst.Close())
	}
	// A writer may be as fast as the copy: it does not run after it for ever.
	_, err = io.Copy(dst, io.LimitReader(src, 2*limit))
	if err := errors.Join(err, dst.Close()); err != nil {
		return fmt.Errorf("copying the log: %w", err)
	}
	return src.Truncate(0)
}

func openRegular(file string, flags int) (*os.File, error) {
	f, err := os.OpenFile(file, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", file)
	}
	if err == nil {
		err = unix.SetNonblock(int(f.Fd()), false) // instances inherit the flag
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
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
