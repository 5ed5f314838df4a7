package rdb

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Writer writes a snapshot, of values that a Reader has read.
type Writer struct {
	out *bufio.Writer
	sum uint64
	db  int
	err error
}

// NewWriter begins a snapshot; version is that of the values.
func NewWriter(out io.Writer, version int) *Writer {
	w := &Writer{out: bufio.NewWriterSize(out, 64<<10), db: -1}
	w.put([]byte(fmt.Sprintf("%s%04d", magic, version)))
	return w
}

// Begin writes all of a key but its value, which is then written by Write.
func (w *Writer) Begin(e Entry) error {
	if e.DB != w.db {
		w.db = e.DB
		w.put(appendLength([]byte{opSelect}, e.DB))
	}
	if e.ExpireAt != 0 {
		w.put(binary.LittleEndian.AppendUint64([]byte{opExpireMS}, uint64(e.ExpireAt)))
	}
	w.put(appendLength([]byte{e.Type}, len(e.Key)))
	w.put(e.Key)
	return w.err
}

// Write writes more of a value.
func (w *Writer) Write(p []byte) (int, error) {
	w.put(p)
	return len(p), w.err
}

// Function writes a library of functions.
func (w *Writer) Function(source []byte) error {
	w.put(appendLength([]byte{opFunction}, len(source)))
	w.put(source)
	return w.err
}

// Close ends the snapshot; it does not close what is written to.
func (w *Writer) Close() error {
	w.put([]byte{opEnd})
	w.put(binary.LittleEndian.AppendUint64(nil, w.sum))
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

func (w *Writer) put(p []byte) {
	if w.err == nil {
		w.sum = Checksum(w.sum, p)
		_, w.err = w.out.Write(p)
	}
}

func appendLength(b []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n))
	case n < 1<<14:
		return append(b, 0x40|byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0x80), uint32(n))
}
