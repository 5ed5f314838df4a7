package backup

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
)

// inflater decompresses DEFLATE (RFC 1951) that is in memory as a whole.
type inflater struct {
	in     bytes.Reader
	stream io.ReadCloser // nil at first
}

var errLength = errors.New("it holds more or less than it says")

// inflate fills out with what in holds, which is as long exactly.
func (d *inflater) inflate(out, in []byte) error {
	d.in.Reset(in)
	if d.stream == nil {
		d.stream = flate.NewReader(&d.in)
	} else if err := d.stream.(flate.Resetter).Reset(&d.in, nil); err != nil {
		return err
	}
	if _, err := io.ReadFull(d.stream, out); err != nil {
		return err
	}
	var more [1]byte
	if n, err := d.stream.Read(more[:]); n > 0 || !errors.Is(err, io.EOF) {
		return errors.Join(errLength, err)
	}
	if d.in.Len() > 0 {
		return errLength
	}
	return nil
}
