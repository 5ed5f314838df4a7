package rdb

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
)

// Reader reads a snapshot. It reads no byte beyond its end but what is buffered.
type Reader struct {
	in      *bufio.Reader
	sum     uint64
	version int
	db      int
	value   io.Writer // where what is read goes too; nil for nowhere
	buf     []byte
}

// NewReader reads the head of a snapshot.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, 64<<10), buf: make([]byte, 32<<10)}
	head, err := r.take(9)
	if err != nil {
		return nil, err
	}
	if string(head[:5]) != magic {
		return nil, corrupt("it does not begin as one")
	}
	if r.version, err = strconv.Atoi(string(head[5:])); err != nil || r.version < oldest {
		return nil, corrupt("its version is %q", head[5:])
	}
	if r.version > newest {
		return nil, errors.New("the snapshot is from a newer Redis than Hop3 knows: its format is version " + strconv.Itoa(r.version))
	}
	return r, nil
}

// Version is the version of the format.
func (r *Reader) Version() int { return r.version }

// Next reads the next entry. The value of a key, without its type, is written
// to what is returned by value; nil for nowhere. At the end, whose checksum has
// been compared, the error is io.EOF.
func (r *Reader) Next(value func(Entry) (io.Writer, error)) (Entry, error) {
	e := Entry{DB: r.db}
	for {
		op, err := r.byte()
		if err != nil {
			return Entry{}, err
		}
		switch op {
		case opEnd:
			return Entry{}, r.end()
		case opFunction:
			e.Function, err = r.string()
			return e, err
		case opExpireMS:
			var b []byte
			if b, err = r.take(8); err == nil {
				e.ExpireAt = int64(binary.LittleEndian.Uint64(b))
			}
		case opExpireSec:
			var b []byte
			if b, err = r.take(4); err == nil {
				e.ExpireAt = int64(binary.LittleEndian.Uint32(b)) * 1000
			}
		case opSelect:
			var n uint64
			if n, err = r.length(); err == nil && n > 1<<20 {
				err = corrupt("it has a database %d", n)
			}
			r.db, e.DB = int(n), int(n)
		case opIdle, opResize, opFreq, opSlotInfo, opAux, opModuleAux:
			err = r.skip(op)
		default:
			return r.key(e, op, value)
		}
		if err != nil {
			return Entry{}, err
		}
	}
}

// skip reads over what says nothing of a key that a restore needs.
func (r *Reader) skip(op byte) error {
	switch op {
	case opFreq:
		return r.pass(1)
	case opIdle:
		return r.lengths(1)
	case opResize:
		return r.lengths(2)
	case opSlotInfo:
		return r.lengths(3)
	case opAux:
		return r.strings(2)
	}
	if err := r.lengths(3); err != nil { // which module, and when
		return err
	}
	return r.module()
}

func (r *Reader) key(e Entry, kind byte, value func(Entry) (io.Writer, error)) (Entry, error) {
	var err error
	e.Type = kind
	if e.Key, err = r.string(); err != nil {
		return Entry{}, err
	}
	if value != nil {
		if r.value, err = value(e); err != nil {
			return Entry{}, err
		}
	}
	err = r.readValue(kind)
	r.value = nil
	return e, err
}

// end compares the checksum; 0 is that of a server which makes none.
func (r *Reader) end() error {
	want := r.sum
	b, err := r.take(8)
	if err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint64(b); got != 0 && got != want {
		return corrupt("its checksum does not match")
	}
	return io.EOF
}

// take reads a few bytes, valid until the next call.
func (r *Reader) take(n int) ([]byte, error) {
	b := r.buf[:n]
	if _, err := io.ReadFull(r.in, b); err != nil {
		return nil, ended(err)
	}
	return b, r.saw(b)
}

func (r *Reader) byte() (byte, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// pass reads over n bytes of any number.
func (r *Reader) pass(n uint64) error {
	for n > 0 {
		b, err := r.take(int(min(n, uint64(len(r.buf)))))
		if err != nil {
			return err
		}
		n -= uint64(len(b))
	}
	return nil
}

func (r *Reader) saw(b []byte) error {
	r.sum = Checksum(r.sum, b)
	if r.value == nil {
		return nil
	}
	_, err := r.value.Write(b)
	return err
}

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt("it ends early")
	}
	return err
}

// How strings are stored that are not stored as they are.
const (
	packedInt8 = iota
	packedInt16
	packedInt32
	packedLZF
)

// head reads a length; packed says that it is how a string is packed instead.
func (r *Reader) head() (n uint64, packed bool, err error) {
	first, err := r.byte()
	if err != nil {
		return 0, false, err
	}
	switch {
	case first>>6 == 0:
		return uint64(first & 0x3F), false, nil
	case first>>6 == 1:
		second, err := r.byte()
		return uint64(first&0x3F)<<8 | uint64(second), false, err
	case first>>6 == 3:
		return uint64(first & 0x3F), true, nil
	case first == 0x80:
		b, err := r.take(4)
		if err != nil {
			return 0, false, err
		}
		return uint64(binary.BigEndian.Uint32(b)), false, nil
	case first == 0x81:
		b, err := r.take(8)
		if err != nil {
			return 0, false, err
		}
		return binary.BigEndian.Uint64(b), false, nil
	}
	return 0, false, corrupt("a length begins with %#x", first)
}

func (r *Reader) length() (uint64, error) {
	n, packed, err := r.head()
	if err == nil && packed {
		err = corrupt("there is a string where a length should be")
	}
	return n, err
}

func (r *Reader) lengths(count int) error {
	for range count {
		if _, err := r.length(); err != nil {
			return err
		}
	}
	return nil
}

// strings reads over so many strings.
func (r *Reader) strings(count uint64) error {
	for range count {
		n, packed, err := r.head()
		if err != nil {
			return err
		}
		if packed {
			if n, _, err = r.packed(n); err != nil {
				return err
			}
		}
		if n > maxString {
			return corrupt("it has a string of %d bytes", n)
		}
		if err := r.pass(n); err != nil {
			return err
		}
	}
	return nil
}

// packed returns how many bytes a packed string takes, and how many it has.
func (r *Reader) packed(how uint64) (takes, has uint64, err error) {
	switch how {
	case packedInt8, packedInt16, packedInt32:
		return 1 << how, 0, nil
	case packedLZF:
		if takes, err = r.length(); err != nil {
			return 0, 0, err
		}
		has, err = r.length()
		return takes, has, err
	}
	return 0, 0, corrupt("a string is packed in the way %d", how)
}

// string reads a string into memory.
func (r *Reader) string() ([]byte, error) {
	n, isPacked, err := r.head()
	if err != nil {
		return nil, err
	}
	how, has := n, uint64(0)
	if isPacked {
		if n, has, err = r.packed(how); err != nil {
			return nil, err
		}
	}
	if n > maxInplace || has > maxInplace {
		return nil, corrupt("the name of a key has %d bytes", max(n, has))
	}
	var raw bytes.Buffer
	outer := r.value
	r.value = &raw
	err = r.pass(n)
	r.value = outer
	switch {
	case err != nil:
		return nil, err
	case !isPacked:
		return raw.Bytes(), nil
	case how == packedLZF:
		return unpack(raw.Bytes(), int(has))
	}
	return strconv.AppendInt(nil, littleEndian(raw.Bytes()), 10), nil
}

func littleEndian(b []byte) int64 {
	switch len(b) {
	case 1:
		return int64(int8(b[0]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	}
	return int64(int32(binary.LittleEndian.Uint32(b)))
}

// unpack undoes the compression LZF.
func unpack(in []byte, size int) ([]byte, error) {
	out := make([]byte, 0, min(size, len(in)*264))
	for i := 0; i < len(in); {
		control := int(in[i])
		i++
		if control < 32 { // bytes as they are
			if i+control+1 > len(in) {
				return nil, corrupt("a compressed string ends early")
			}
			out = append(out, in[i:i+control+1]...)
			i += control + 1
			continue
		}
		length := control>>5 + 2
		if control>>5 == 7 {
			if i >= len(in) {
				return nil, corrupt("a compressed string ends early")
			}
			length += int(in[i])
			i++
		}
		if i >= len(in) {
			return nil, corrupt("a compressed string ends early")
		}
		from := len(out) - (control&0x1F)<<8 - int(in[i]) - 1
		i++
		if from < 0 || len(out)+length > size {
			return nil, corrupt("a compressed string refers to nothing")
		}
		for range length { // may overlap with itself
			out = append(out, out[from])
			from++
		}
	}
	if len(out) != size {
		return nil, corrupt("a compressed string has %d bytes instead of %d", len(out), size)
	}
	return out, nil
}
