package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// unzipper reads ahead what a gzip file holds. Members that tell their size
// are decompressed on all processors; one that does not, and all behind it,
// while what was before is used.
type unzipper struct {
	in    *bufio.Reader
	free  chan *member // as many as there are
	work  chan *member
	order chan *member // the last has an error, io.EOF at the end
	stop  chan struct{}
	ended sync.WaitGroup

	// plain reads the members of other programs, once there was one. whole is
	// set when the member before was the one that ends a file.
	plain io.Reader
	whole bool

	now  *member
	rest []byte
	err  error
}

// unzip returns a reader of what the gzip file in r holds, to be closed. Until
// it is nobody else reads from r.
func unzip(r io.Reader) *unzipper {
	n := atOnce()
	all := 2*n + 2
	u := &unzipper{in: bufio.NewReaderSize(r, 128<<10), free: make(chan *member, all), work: make(chan *member, all), order: make(chan *member, all), stop: make(chan struct{})}
	for range all {
		u.free <- newMember()
	}
	for range n {
		u.ended.Go(u.decompress)
	}
	u.ended.Go(u.find)
	return u
}

func (u *unzipper) decompress() {
	var d inflater
	for m := range u.work {
		m.err = guarded("decompressing", func() error { return d.unpack(m.data, m.packed) })
		if m.err != nil {
			m.data = nil
		}
		m.done <- struct{}{}
	}
}

// find reads the members, until one cannot be read.
func (u *unzipper) find() {
	defer close(u.order)
	defer close(u.work)
	for {
		var m *member
		select {
		case m = <-u.free:
		case <-u.stop:
			return
		}
		packed := false
		err := guarded("reading", func() (err error) {
			packed, err = u.next(m)
			return err
		})
		if m.err = err; packed {
			u.work <- m // there is room: members are as many
		} else {
			m.done <- struct{}{}
		}
		if u.order <- m; err != nil {
			return
		}
	}
}

// next reads the next member, and reports whether it is to be decompressed.
func (u *unzipper) next(m *member) (packed bool, err error) {
	m.data = m.data[:0]
	if u.plain == nil {
		header, err := u.in.Peek(headerSize)
		size, known := memberSize(header)
		switch {
		case known:
			err := u.take(m, size)
			return err == nil, err
		case err != nil && !errors.Is(err, io.EOF):
			return false, err
		case len(header) == 0 && u.whole:
			return false, io.EOF
		case len(header) == 0:
			return false, io.ErrUnexpectedEOF
		}
		if u.plain, err = gzip.NewReader(u.in); err != nil {
			return false, err
		}
	}
	n, err := fill(u.plain, m.data[:memberData])
	m.data = m.data[:n]
	return false, err
}

// take reads a member of a size, which may be a lie.
func (u *unzipper) take(m *member, size int) error {
	if size < headerSize+trailerSize || size > maxMember {
		return fmt.Errorf("%w: it cannot be as long as it says", errMember)
	}
	m.packed = slices.Grow(m.packed[:0], size)[:size]
	if _, err := io.ReadFull(u.in, m.packed); err != nil {
		return err
	}
	n := dataSize(m.packed)
	if n > maxMemberData {
		return fmt.Errorf("%w: it cannot hold as much as it says", errMember)
	}
	m.data = slices.Grow(m.data, n)[:n]
	u.whole = n == 0
	return nil
}

// Read implements io.Reader.
func (u *unzipper) Read(b []byte) (int, error) {
	for len(u.rest) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		if u.now != nil {
			u.free <- u.now
		}
		u.now = <-u.order
		<-u.now.done
		u.rest, u.err = u.now.data, u.now.err
	}
	n := copy(b, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// close ends the reading, and waits for it.
func (u *unzipper) close() {
	close(u.stop)
	u.ended.Wait() // there is room for all members in all channels
}
