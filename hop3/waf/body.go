package waf

import (
	"bytes"
	"errors"
	"io"
)

const (
	// free is how much of each body is read whatever others take.
	free = 16 << 10
	// mostSpooled is how much the rest of all bodies that are being read takes
	// together. What comes then is refused: a client that is slow on purpose
	// takes no more than this.
	mostSpooled = 64 << 20
	firstBuffer = 4 << 10
)

var errSpooledOut = errors.New("too many long bodies are being read")

// counted is what of n bytes counts as spooled.
func counted(n int) int64 { return int64(max(n-free, 0)) }

// spool reads the first BodyLimit bytes of a body, or all there are. The
// caller counts them out of g.spooled.
func (g *Guard) spool(body io.Reader) ([]byte, error) {
	buf := make([]byte, 0, firstBuffer)
	for len(buf) < BodyLimit {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		room := buf[len(buf):min(cap(buf), BodyLimit)]
		n, err := body.Read(room)
		before := len(buf)
		buf = buf[:before+n]
		if grown := counted(len(buf)) - counted(before); grown > 0 && g.spooled.Add(grown) > mostSpooled {
			return buf, errSpooledOut
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// next reads one byte more, if there is one, and returns it with the start.
func next(body io.Reader, start []byte) (longer []byte, more bool, err error) {
	var one [1]byte
	n, err := io.ReadFull(body, one[:])
	if err == io.EOF {
		err = nil
	}
	return append(start, one[:n]...), n > 0, err
}

// resume is a body of which the start has been read already, and err after it.
func resume(start []byte, rest io.ReadCloser, err error) io.ReadCloser {
	if err != nil {
		return &resumed{Reader: io.MultiReader(bytes.NewReader(start), failing{err}), Closer: rest}
	}
	return &resumed{Reader: io.MultiReader(bytes.NewReader(start), rest), Closer: rest}
}

type resumed struct {
	io.Reader
	io.Closer
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
