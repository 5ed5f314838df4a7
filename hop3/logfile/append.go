package logfile

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Appender writes a log that no instance writes to, keeps it below a size, and
// notes the times of its lines. It opens the file when it is first written to.
// Its methods are not safe for concurrent use.
type Appender struct {
	file  string
	max   int64
	open  *os.File // nil for not
	clock *clock
}

// NewAppender returns an Appender for a file of max bytes, beside which two
// older ones are kept.
func NewAppender(file string, max int64) *Appender { return &Appender{file: file, max: max} }

// Write appends whole lines. The file's directory is not made: without it the
// error is fs.ErrNotExist. With an error none of the lines is in the file, as
// far as that can be had.
func (a *Appender) Write(lines []byte) error {
	info, err := a.ready()
	if err != nil {
		return err
	}
	if info.Size() > 0 && info.Size()+int64(len(lines)) > a.max {
		if info, err = a.rotate(info); err != nil {
			return err
		}
	}
	if n, err := a.open.Write(lines); err != nil {
		if now, statErr := a.open.Stat(); n > 0 && statErr == nil && now.Size() == info.Size()+int64(n) {
			err = errors.Join(err, a.open.Truncate(info.Size()))
		}
		return err
	}
	if info, err = a.open.Stat(); err == nil {
		_ = a.clock.observe(info, time.Now()) // without, the lines only lose their times
	}
	return nil
}

// Close closes the file. A later Write opens it again.
func (a *Appender) Close() error {
	if a.open == nil {
		return nil
	}
	err := a.open.Close()
	a.open = nil
	return err
}

// Private

// ready opens the file unless it is open, and still the one of its name.
func (a *Appender) ready() (fs.FileInfo, error) {
	if a.open != nil {
		info, err := a.open.Stat()
		there, thereErr := os.Lstat(a.file)
		if err == nil && thereErr == nil && os.SameFile(info, there) {
			return info, nil
		}
		_ = a.Close() // nothing is lost: each write was its own
	}
	f, err := openRegular(a.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	a.open, a.clock = f, newClock(a.file, a.max)
	info, err := f.Stat()
	if err == nil && a.clock.size == 0 {
		_ = a.clock.observe(info, time.Now())
	}
	return info, err
}

// rotate gives the file another name and begins a new one. Since nobody else
// has it open, nothing is copied, and no line lost.
func (a *Appender) rotate(info fs.FileInfo) (fs.FileInfo, error) {
	now := time.Now()
	if err := move(a.file+older[0], a.file+older[1]); err != nil {
		return nil, err
	}
	_ = a.clock.rotated(a.file+older[0], 0, info.Size(), now)
	if err := os.Rename(a.file, a.file+older[0]); err != nil {
		return nil, err
	}
	before := a.clock
	if err := a.Close(); err != nil {
		return nil, err
	}
	f, err := openRegular(a.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	a.open, a.clock = f, before
	_ = a.clock.emptied(now)
	return f.Stat()
}
