package backup

import (
	"fmt"
	"io"
)

// ahead reads before it is asked, so that decompressing and writing go on at
// the same time.
type ahead struct {
	full  chan piece
	empty chan []byte
	stop  chan struct{}
	now   piece
	rest  []byte
}

type piece struct {
	data []byte
	err  error
}

const (
	aheadPiece  = 256 << 10
	aheadPieces = 4
)

// readAhead returns a reader over r, to be closed.
func readAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan piece, aheadPieces), empty: make(chan []byte, aheadPieces), stop: make(chan struct{})}
	for range aheadPieces {
		a.empty <- make([]byte, aheadPiece)
	}
	go a.fill(r)
	return a
}

func (a *ahead) fill(r io.Reader) {
	defer close(a.full)
	for {
		var b []byte
		select {
		case b = <-a.empty:
		case <-a.stop:
			return
		}
		n, err := fill(r, b[:aheadPiece])
		a.full <- piece{b[:n], err} // there is room: pieces are as many
		if err != nil {
			return
		}
	}
}

// fill is io.ReadFull that keeps the error of the reader. A panic of it ends
// what is read, not the server.
func fill(r io.Reader, b []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading panicked: %v", p)
		}
	}()
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

// Read implements io.Reader.
func (a *ahead) Read(b []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.data != nil {
			a.empty <- a.now.data[:cap(a.now.data)]
		}
		a.now = <-a.full
		a.rest = a.now.data
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close ends the reading, and waits for it.
func (a *ahead) close() {
	close(a.stop)
	for range a.full {
		continue // what was read ahead is dropped
	}
}
