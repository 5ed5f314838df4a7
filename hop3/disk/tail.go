package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pollInterval is how long a new line may wait for its reader.
	pollInterval = 200 * time.Millisecond
	// maxLine is where a line without end is cut, to bound memory.
	maxLine = 64 << 10
	// chunk is how much is read at once.
	chunk = 32 << 10
)

// Tail gives the last n lines of each file to line, one file after the other,
// without their line ends; a line of more than 64 KiB comes in pieces. Files
// that do not exist have no lines. With follow it goes on with what is
// appended, also to files that are made later, truncated, or replaced by
// rotation, and returns the cause when ctx is done. An error of line ends it
// and is returned. It never holds more than a few lines, however long a file
// is.
func (Files) Tail(ctx context.Context, files []string, n int, follow bool, line func(file, text string) error) error {
	tails := make([]*tail, len(files))
	for i, name := range files {
		tails[i] = &tail{name: name, line: line}
	}
	defer func() {
		for _, t := range tails {
			t.close()
		}
	}()
	for _, t := range tails {
		if err := t.start(ctx, n); err != nil {
			return err
		}
		if !follow {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	if !follow {
		return nil
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		for _, t := range tails {
			if err := t.poll(ctx); err != nil {
				return err
			}
		}
	}
}

// tail is the reading of one file.
type tail struct {
	name   string
	line   func(file, text string) error
	file   *os.File // nil while there is none
	offset int64
	part   []byte // a line whose end was not written yet
}

// open opens the file when there is one. Only a regular file counts: an app
// can put a link to another file, or a pipe, where its log should be.
func (t *tail) open() error {
	f, err := os.OpenFile(t.name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening a log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("opening a log: %s is not a file", t.name)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	t.file, t.offset = f, 0
	return nil
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // it was only read
		t.file = nil
	}
}

// start gives the last n lines.
func (t *tail) start(ctx context.Context, n int) error {
	if err := t.open(); err != nil || t.file == nil {
		return err
	}
	begin, end, err := lastLines(t.file, n)
	if err != nil {
		return fmt.Errorf("reading %s: %w", t.name, err)
	}
	t.offset = begin
	return t.read(ctx, end)
}

// poll gives what is new.
func (t *tail) poll(ctx context.Context) error {
	if t.file == nil {
		return t.reopen(ctx)
	}
	is, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("reading %s: %w", t.name, err)
	}
	named, err := os.Lstat(t.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for a log: %w", err)
	}
	if is.Size() < t.offset { // truncated
		if err := t.flush(); err != nil {
			return err
		}
		t.offset = 0
	}
	if err := t.read(ctx, is.Size()); err != nil {
		return err
	}
	if named != nil && os.SameFile(is, named) {
		return nil
	}
	// Replaced, or removed. All that was written to the old file by then has
	// been read.
	t.close()
	if err := t.flush(); err != nil {
		return err
	}
	return t.reopen(ctx)
}

// reopen reads a file that is new under the name from its beginning.
func (t *tail) reopen(ctx context.Context) error {
	if err := t.open(); err != nil || t.file == nil {
		return err
	}
	is, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("reading %s: %w", t.name, err)
	}
	return t.read(ctx, is.Size())
}

// read gives every complete line from the offset to end, and no more: a file
// that never stops growing must not keep the others waiting.
func (t *tail) read(ctx context.Context, end int64) error {
	buf := make([]byte, chunk)
	for t.offset < end {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := t.file.ReadAt(buf[:min(chunk, end-t.offset)], t.offset)
		t.offset += int64(n)
		if err := t.take(buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil // truncated since
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", t.name, err)
		}
	}
	return nil
}

// take splits data into lines and keeps the rest.
func (t *tail) take(data []byte) error {
	for len(data) > 0 {
		text, rest, ended := bytes.Cut(data, []byte{'\n'})
		if room := maxLine - len(t.part); len(text) > room {
			text, rest, ended = data[:room], data[room:], true
		}
		t.part = append(t.part, text...)
		data = rest
		if !ended {
			return nil
		}
		if err := t.emit(); err != nil {
			return err
		}
	}
	return nil
}

// flush gives a last line that has no end.
func (t *tail) flush() error {
	if len(t.part) == 0 {
		return nil
	}
	return t.emit()
}

func (t *tail) emit() error {
	text := string(bytes.TrimSuffix(t.part, []byte{'\r'}))
	t.part = t.part[:0]
	return t.line(t.name, text)
}

// lastLines returns where the last n lines of a file begin and end. It reads
// backwards from the end.
func lastLines(f *os.File, n int) (begin, end int64, err error) {
	end, err = f.Seek(0, io.SeekEnd)
	if err != nil || n <= 0 {
		return end, end, err
	}
	buf := make([]byte, chunk)
	for at := end; at > 0; {
		size := min(at, chunk)
		at -= size
		got, err := f.ReadAt(buf[:size], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		for i := got - 1; i >= 0; i-- {
			// The end of the last line begins none.
			if buf[i] != '\n' || at+int64(i) == end-1 {
				continue
			}
			if n--; n == 0 {
				return at + int64(i) + 1, end, nil
			}
		}
	}
	return 0, end, nil
}
