package logfile

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

// Beside a log lies a file of times: instances write plain lines, and it says
// when. A header is followed by records, each "the log was this long at this
// time", in the order they were made. A line was written at the time of the
// first record that is not shorter than where the line ends.
//
// Nothing depends on it: without the file, or with nonsense in it, lines only
// lose their times.

const (
	timesSuffix = ".times"
	timesMagic  = "hop3log1"
	// The header: magic, generation, base, before. A log has another
	// generation each time it was emptied; base is how much of a generation's
	// beginning a rotated file lacks; before is the generation that somebody
	// else emptied, 0 after a rotation. Offsets in records count from the
	// generation's beginning.
	headerSize = 32
	recordSize = 16 // offset, microseconds since 1970 (0: nobody knows)
	// minTimes is how large a file of times may always be.
	minTimes = 64 << 10
)

// header is the beginning of a file of times.
type header struct{ generation, base, before int64 }

type record struct {
	offset int64
	micros int64
}

func (h header) encode() []byte {
	b := append(make([]byte, 0, headerSize), timesMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.generation))
	b = binary.BigEndian.AppendUint64(b, uint64(h.base))
	return binary.BigEndian.AppendUint64(b, uint64(h.before))
}

func (r record) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.offset))
	return binary.BigEndian.AppendUint64(b, uint64(r.micros))
}

func decodeRecord(b []byte) record {
	return record{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}
}

var errNoTimes = errors.New("not a file of times")

func readHeader(f *os.File) (header, error) {
	var b [headerSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return header{}, err
	}
	word := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	h := header{word(8), word(16), word(24)}
	if string(b[:8]) != timesMagic || h.generation <= 0 || h.base < 0 {
		return header{}, errNoTimes
	}
	return h, nil
}

// generationOf returns the generation of a log, 0 when nothing says.
func generationOf(log string) int64 {
	f, err := openRegular(log+timesSuffix, os.O_RDONLY)
	if err != nil {
		return 0
	}
	defer f.Close()
	h, err := readHeader(f)
	if err != nil {
		return 0
	}
	return h.generation
}

// times looks the times of a log's lines up. Its methods answer for a nil
// *times, of a log that has none.
type times struct {
	f       *os.File
	header  header
	count   int64     // records
	last    record    // the zero record when there is none
	written time.Time // of the log: the time of what is behind the last record

	block   []byte // of records, at
	blockAt int64
	// The last answer holds for every line that ends in (from, to].
	from, to int64
	answer   time.Time
}

// timesBlock is how many records are read at once.
const timesBlock = 256

// openTimes opens the times of a log; nil when it has none. written is when
// the log changed last.
func openTimes(log string, written time.Time) *times {
	f, err := openRegular(log+timesSuffix, os.O_RDONLY)
	if err != nil {
		return nil
	}
	t := &times{f: f, written: written, blockAt: -1}
	info, err := f.Stat()
	if err == nil {
		t.header, err = readHeader(f)
	}
	if err != nil {
		f.Close()
		return nil
	}
	if t.count = (info.Size() - headerSize) / recordSize; t.count > 0 {
		t.last = t.record(t.count - 1)
	}
	return t
}

func (t *times) close() {
	if t != nil {
		t.f.Close()
	}
}

// generation and base are the header's; 0 without a file of times.
func (t *times) generation() int64 {
	if t == nil {
		return 0
	}
	return t.header.generation
}

// at returns when the line that ends at this offset of the log was written;
// the zero time when nobody knows.
func (t *times) at(end int64) time.Time {
	if t == nil {
		return time.Time{}
	}
	end += t.header.base
	if end > t.from && end <= t.to {
		return t.answer
	}
	if end > t.last.offset {
		return t.written
	}
	i := int64(sort.Search(int(t.count), func(i int) bool { return t.record(int64(i)).offset >= end }))
	if i >= t.count {
		return t.written // the records are not in order: nonsense
	}
	r := t.record(i)
	t.from, t.to, t.answer = 0, r.offset, time.Time{}
	if i > 0 {
		t.from = t.record(i - 1).offset
	}
	if r.micros > 0 {
		t.answer = time.UnixMicro(r.micros)
	}
	return t.answer
}

// record returns the record with this number; what cannot be read is zero.
func (t *times) record(i int64) record {
	at := i / timesBlock * timesBlock
	if at != t.blockAt {
		if t.block == nil {
			t.block = make([]byte, timesBlock*recordSize)
		}
		t.block = t.block[:cap(t.block)]
		n, err := t.f.ReadAt(t.block, headerSize+at*recordSize)
		if err != nil && !errors.Is(err, io.EOF) {
			n = 0
		}
		t.block, t.blockAt = t.block[:n], at
	}
	b := t.block[min(int64(len(t.block)), (i-at)*recordSize):]
	if len(b) < recordSize {
		return record{}
	}
	return decodeRecord(b)
}

// clock writes the times of one log.
type clock struct {
	log    string
	max    int64 // bytes
	header header
	last   record
	size   int64 // of the file of times; 0: it is not known to be there
}

// newClock returns what is known of a log's times so far.
func newClock(log string, maxLog int64) *clock {
	c := &clock{log: log, max: max(maxLog/4, minTimes)}
	if t := openTimes(log, time.Time{}); t != nil {
		c.header, c.last, c.size = t.header, t.last, headerSize+t.count*recordSize
		t.close()
	}
	return c
}

// observe notes how long the log is.
func (c *clock) observe(info fs.FileInfo, now time.Time) error {
	written := info.ModTime()
	if written.After(now) {
		written = now // an app can set the time of its file
	}
	r := record{info.Size(), max(written.UnixMicro(), c.last.micros)}
	switch {
	case c.size == 0 && r.offset > 0:
		r.micros = 0 // what is there is older than we are
		fallthrough
	case c.size == 0 || r.offset < c.last.offset: // new, or emptied by somebody else
		if err := c.begin(now, c.header.generation); err != nil || r.offset == 0 {
			return err
		}
	case r.offset == c.last.offset:
		return nil
	}
	if c.size+recordSize > c.max {
		if err := c.thin(); err != nil {
			return err
		}
	}
	return c.append(r)
}

// begin makes a new file of times without records.
func (c *clock) begin(now time.Time, before int64) error {
	h := header{generation: now.UnixNano(), before: before}
	if err := c.replace(h.encode()); err != nil {
		return err
	}
	c.header, c.last = h, record{micros: c.last.micros}
	return nil
}

func (c *clock) append(r record) error {
	f, err := openRegular(c.log+timesSuffix, os.O_WRONLY)
	if err != nil {
		c.size = 0 // made anew next time
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(r.append(nil), c.size); err != nil {
		return err
	}
	c.last = r
	c.size += recordSize
	return nil
}

// thin drops every second record: lines get the time of one that was written
// soon after.
func (c *clock) thin() error {
	f, err := openRegular(c.log+timesSuffix, os.O_RDONLY)
	if err != nil {
		c.size = 0
		return err
	}
	defer f.Close()
	all := make([]byte, c.size)
	if _, err := f.ReadAt(all, 0); err != nil {
		c.size = 0
		return err
	}
	kept := all[:headerSize]
	for at := int64(headerSize) + recordSize; at+recordSize <= c.size; at += 2 * recordSize {
		kept = append(kept, all[at:at+recordSize]...)
	}
	return c.replace(kept)
}

// replace writes the file of times at once.
func (c *clock) replace(content []byte) error {
	name := c.log + timesSuffix
	next := name + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, name); err != nil {
		return err
	}
	c.size = int64(len(content))
	return nil
}

// rotated hands the times over to the file that the log's lines were copied
// to: from this offset of the log on, size bytes.
func (c *clock) rotated(to string, from, size int64, now time.Time) error {
	err := os.ErrNotExist
	if c.size > 0 {
		// What was written since the last record counts as written now.
		if end := c.header.base + from + size; end > c.last.offset {
			err = c.append(record{end, max(now.UnixMicro(), c.last.micros)})
		}
		if f, openErr := openRegular(c.log+timesSuffix, os.O_WRONLY); openErr == nil {
			h := c.header
			h.base += from
			_, writeErr := f.WriteAt(h.encode(), 0)
			err = errors.Join(writeErr, f.Close())
		}
	}
	if err == nil {
		err = os.Rename(c.log+timesSuffix, to+timesSuffix)
	}
	c.size = 0
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// emptied begins the times of the log that is empty now. Unlike a file that is
// new to us, what it holds by then was written since.
func (c *clock) emptied(now time.Time) error {
	c.last.offset = 0
	return c.begin(now, 0)
}
