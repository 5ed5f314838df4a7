package backup

import (
	"errors"
	"io"
)

// ahead reads before it is asked, so that reading and the checksum of what was
// read go on at the same time.
type ahead struct {
	full  chan piece
	empty chan []byte
	stop  chan struct{}
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

// fill is io.ReadFull that keeps the error of the reader.
func fill(r io.Reader, b []byte) (n int, err error) {
	err = guarded("reading", func() (err error) {
		for n < len(b) && err == nil {
			var m int
			m, err = r.Read(b[n:])
			n += m
		}
		return err
	})
	return n, err
}

// WriteTo implements io.WriterTo.
func (a *ahead) WriteTo(w io.Writer) (written int64, err error) {
	for p := range a.full {
		n, err := w.Write(p.data)
		if written += int64(n); err == nil && !errors.Is(p.err, io.EOF) {
			err = p.err
		}
		if err != nil {
			return written, err
		}
		a.empty <- p.data[:cap(p.data)]
	}
	return written, nil
}

// close ends the reading, and waits for it.
func (a *ahead) close() {
	close(a.stop)
	for range a.full {
		continue // what was read ahead is dropped
	}
}
