package logfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

const (
	// chunk is how much of a file is read at once.
	chunk = 32 << 10
	// maxLine is what is given of a line: the rest of it is left out.
	maxLine = 16 << 10
	// cutMark ends a line that was cut.
	cutMark = "…"
)

// errEmptied says that a file was emptied while it was read.
var errEmptied = errors.New("the log was rotated while it was read")

// backward gives the lines of one file from its end to its beginning. It holds
// a chunk and a line in memory.
type backward struct {
	f     *os.File
	info  os.FileInfo // when it was opened
	times *times
	end   int64 // where what is left unread ends
	buf   []byte
	bufAt int64  // where in the file buf begins
	long  []byte // a line that does not fit into buf
}

// openBackward opens a log for reading from its end; nil when there is none.
func openBackward(name string) (*backward, error) {
	f, err := openRegular(name, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &backward{f: f, info: info, times: openTimes(name, info.ModTime()), end: info.Size(), bufAt: info.Size()}, nil
}

func (b *backward) close() {
	b.f.Close()
	b.times.close()
}

// skipUnfinished leaves out a last line whose end was not written yet.
func (b *backward) skipUnfinished() error {
	if b.end == 0 {
		return nil
	}
	begin, err := b.lineBegin(b.end)
	if err != nil {
		return err
	}
	b.end = begin
	return nil
}

// next returns the line before those it returned so far, and when it was
// written. The text is valid until the next call. It returns io.EOF at the
// file's beginning, and errEmptied when it can not go on.
func (b *backward) next() (text []byte, at time.Time, err error) {
	if b.end == 0 {
		return nil, time.Time{}, io.EOF
	}
	last := b.end
	if ended, err := b.byteAt(last - 1); err != nil {
		return nil, time.Time{}, err
	} else if ended == '\n' {
		last--
	}
	begin, err := b.lineBegin(last)
	if err != nil {
		return nil, time.Time{}, err
	}
	if text, err = b.text(begin, last); err != nil {
		return nil, time.Time{}, err
	}
	at = b.times.at(b.end)
	b.end = begin
	return text, at, nil
}

// lineBegin returns where the line begins that has the bytes up to end.
func (b *backward) lineBegin(end int64) (int64, error) {
	for end > 0 {
		if err := b.load(end); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b.buf[:end-b.bufAt], '\n'); i >= 0 {
			return b.bufAt + int64(i) + 1, nil
		}
		end = b.bufAt
	}
	return 0, nil
}

func (b *backward) byteAt(i int64) (byte, error) {
	if err := b.load(i + 1); err != nil {
		return 0, err
	}
	return b.buf[i-b.bufAt], nil
}

// load has buf hold the byte before end, and as many before that as fit.
func (b *backward) load(end int64) error {
	if b.bufAt < end && end <= b.bufAt+int64(len(b.buf)) {
		return nil
	}
	if b.buf == nil {
		b.buf = make([]byte, chunk)
	}
	at := max(end-chunk, 0)
	b.buf = b.buf[:end-at]
	b.bufAt = at
	return readFull(b.f, b.buf, at)
}

func (b *backward) text(begin, end int64) ([]byte, error) {
	if begin >= b.bufAt && end <= b.bufAt+int64(len(b.buf)) {
		return cut(b.buf[begin-b.bufAt : end-b.bufAt]), nil
	}
	size := min(end-begin, maxLine+1)
	if b.long == nil {
		b.long = make([]byte, maxLine+1)
	}
	line := b.long[:size]
	return cut(line), readFull(b.f, line, begin)
}

// readFull is ReadAt of all of buf.
func readFull(f *os.File, buf []byte, at int64) error {
	_, err := f.ReadAt(buf, at)
	if errors.Is(err, io.EOF) {
		return errEmptied
	}
	return err
}

// cut shortens a line that is too long, by marking it: the byte behind the
// limit becomes the mark when it is turned into a text.
func cut(line []byte) []byte { return line[:min(len(line), maxLine+1)] }

// lineText returns a line as a text.
func lineText(line []byte) string {
	if len(line) > maxLine {
		return string(line[:maxLine]) + cutMark
	}
	return string(bytes.TrimSuffix(line, []byte{'\r'}))
}
