package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// older are the suffixes of the files that a log's lines go to, the newest
// first.
var older = []string{".1", ".2"}

// copySuffix is the name of a copy that is being made.
const copySuffix = ".copy"

// rotate empties a file of about limit bytes, keeping them as file.1 and what
// was there as file.2. Of a file that is much too long, because somebody floods
// it, only the end is kept. A crash between any two steps loses nothing: at worst,
// lines are there twice.
func rotate(file string, limit int64, c *clock) error {
	src, err := openRegular(file, os.O_RDWR)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	// First, so that there is room for the copy.
	if err := move(file+".1", file+".2"); err != nil {
		return err
	}
	from := max(info.Size()-2*limit, 0)
	dst, size, err := copyEnd(file+copySuffix, src, from, 2*limit)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// A full disk gets no better by keeping the file.
		return errors.Join(fmt.Errorf("a log was emptied without a copy: %w", err), src.Truncate(0), c.emptied(time.Now()))
	}
	if err != nil {
		return fmt.Errorf("copying the log: %w", err)
	}
	defer dst.Close()
	timesErr := c.rotated(file+".1", from, size, time.Now())
	if err := os.Rename(file+copySuffix, file+".1"); err != nil {
		return err
	}
	// What was written meanwhile. A writer may be as fast as the copy, which
	// does not run after it for ever.
	if _, err := io.Copy(dst, io.LimitReader(src, limit)); err != nil {
		timesErr = errors.Join(timesErr, err)
	}
	if err := src.Truncate(0); err != nil {
		return err
	}
	return errors.Join(timesErr, dst.Close(), c.emptied(time.Now()))
}

// move renames a log and its times; it is no error when there is none.
func move(from, to string) error {
	for _, suffix := range []string{"", timesSuffix} {
		err := os.Rename(from+suffix, to+suffix)
		if errors.Is(err, fs.ErrNotExist) && suffix != "" {
			err = os.Remove(to + suffix) // the times of another log
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyEnd copies what src holds from an offset on, at most limit bytes, to a
// new file, and returns how much that was. With an
// error there is no file.
func copyEnd(to string, src *os.File, from, limit int64) (dst *os.File, size int64, err error) {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	dst, err = os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, 0, err
	}
	if _, err = src.Seek(from, io.SeekStart); err == nil {
		size, err = io.Copy(dst, io.LimitReader(src, limit))
	}
	if err != nil {
		return nil, 0, errors.Join(err, dst.Close(), os.Remove(to))
	}
	return dst, size, nil
}

// openRegular opens a file that is no link, no pipe and no device.
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
