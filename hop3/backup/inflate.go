package backup

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// inflater decompresses DEFLATE (RFC 1951) that is in memory as a whole, into
// memory that is as large as what comes out. Knowing both ends it is about
// twice as fast as one that reads and writes streams, which is what restoring
// waits for. Its input may be anybody's: it has no pointers but these slices,
// and whatever does not fit exactly is an error.
type inflater struct {
	in   []byte
	pos  int    // of the next byte that is not in bits
	bits uint64 // the next bits, the first one lowest; above n they are 0, or what in has there
	n    uint

	literals, distances code
	lengths             [maxLiterals + maxDistances]uint8
}

const (
	maxLiterals  = 286
	maxDistances = 30
	maxBits      = 15
	// tableBits is how long the codes are that one look tells.
	tableBits = 11
	// matchRoom is what the fast loop needs to write a match without a look at
	// where out ends: the longest, and a word too much.
	matchRoom = 258 + 8
)

// What a symbol means is in 32 bits: how long its code is in the lowest four,
// how many more bits follow in the next four, its value from valueAt on.
const (
	isLiteral = 1 << 8
	isEnd     = 1 << 9
	isMatch   = 1 << 10
	valueAt   = 16
)

// code is a Huffman code.
type code struct {
	table   [1 << tableBits]uint32 // by the next bits; 0 is a longer code, or none
	count   [maxBits + 1]uint16    // of symbols by length of their codes
	symbols [maxLiterals + 2]uint16
	meaning *[maxLiterals + 2]uint32
}

var errInflate = errors.New("it is no DEFLATE data of the size it should have")

var literalMeaning, distanceMeaning = meanings()

// meanings are the tables of RFC 1951, 3.2.5.
func meanings() (literals, distances [maxLiterals + 2]uint32) {
	for i := range 256 {
		literals[i] = isLiteral | uint32(i)<<valueAt
	}
	literals[256] = isEnd
	base := uint32(3)
	for i := range 28 {
		extra := uint32(max(0, i/4-1))
		literals[257+i] = isMatch | extra<<4 | base<<valueAt
		base += 1 << extra
	}
	literals[285] = isMatch | 258<<valueAt
	base = 1
	for i := range maxDistances {
		extra := uint32(max(0, i/2-1))
		distances[i] = isMatch | extra<<4 | base<<valueAt
		base += 1 << extra
	}
	return literals, distances
}

// set makes the code of the lengths of its symbols' codes. It has to be
// complete, but for one of a single symbol, or of none.
func (c *code) set(lengths []uint8, meaning *[maxLiterals + 2]uint32) error {
	clear(c.table[:])
	clear(c.count[:])
	c.meaning = meaning
	for _, n := range lengths {
		c.count[n]++
	}
	var next [maxBits + 1]uint16  // code
	var first [maxBits + 1]uint16 // place in symbols
	left, longest := 1, 0
	for n := 1; n <= maxBits; n++ {
		next[n] = (next[n-1] + c.count[n-1]*uint16(min(n-1, 1))) << 1
		first[n] = first[n-1] + c.count[n-1]*uint16(min(n-1, 1))
		if left = left<<1 - int(c.count[n]); left < 0 {
			return errInflate
		}
		if c.count[n] > 0 {
			longest = n
		}
	}
	if single := longest == 1 && c.count[1] == 1; left > 0 && longest > 0 && !single {
		return errInflate
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		c.symbols[first[n]] = uint16(symbol)
		first[n]++
		if n <= tableBits {
			for at := int(bits.Reverse16(next[n]) >> (16 - n)); at < len(c.table); at += 1 << n {
				c.table[at] = meaning[symbol] | uint32(n)
			}
		}
		next[n]++
	}
	return nil
}

// long finds the symbol of a code bit by bit: those that the table lacks. None
// is 0.
func (c *code) long(next uint64) uint32 {
	at, first, index := 0, 0, 0
	for n := 1; n <= maxBits; n++ {
		at |= int(next & 1)
		next >>= 1
		count := int(c.count[n])
		if at-first < count {
			return c.meaning[c.symbols[index+at-first]] | uint32(n)
		}
		index += count
		first = (first + count) << 1
		at <<= 1
	}
	return 0
}

// inflate fills out with what in holds, all of both.
func (d *inflater) inflate(out, in []byte) error {
	d.in, d.pos, d.bits, d.n = in, 0, 0, 0
	at := 0
	for last := false; !last; {
		head, err := d.take(3)
		if err != nil {
			return err
		}
		last = head&1 != 0
		switch head >> 1 {
		case 0:
			at, err = d.stored(out, at)
		case 1:
			if err = d.fixed(); err == nil {
				at, err = d.block(out, at)
			}
		case 2:
			if err = d.dynamic(); err == nil {
				at, err = d.block(out, at)
			}
		default:
			err = errInflate
		}
		if err != nil {
			return err
		}
	}
	if at != len(out) || d.pos-int(d.n/8) != len(in) {
		return errInflate
	}
	return nil
}

// fill has 56 bits ready, or all that are left.
func (d *inflater) fill() {
	for d.n <= 56 && d.pos < len(d.in) {
		d.bits |= uint64(d.in[d.pos]) << d.n
		d.pos++
		d.n += 8
	}
}

// take takes n bits, 16 at most.
func (d *inflater) take(n uint) (uint32, error) {
	if d.fill(); d.n < n {
		return 0, errInflate
	}
	v := uint32(d.bits & (1<<n - 1))
	d.bits >>= n
	d.n -= n
	return v, nil
}

func (d *inflater) stored(out []byte, at int) (int, error) {
	d.pos -= int(d.n / 8) // the rest of the byte is skipped
	d.bits, d.n = 0, 0
	head := d.in[d.pos:]
	if len(head) < 4 {
		return at, errInflate
	}
	n := int(binary.LittleEndian.Uint16(head))
	if n != int(^binary.LittleEndian.Uint16(head[2:])) || n > len(head)-4 || n > len(out)-at {
		return at, errInflate
	}
	d.pos += 4 + n
	return at + copy(out[at:], head[4:4+n]), nil
}

func (d *inflater) fixed() error {
	var lengths [maxLiterals + 2]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	if err := d.literals.set(lengths[:], &literalMeaning); err != nil {
		return err
	}
	for i := range 32 {
		lengths[i] = 5
	}
	return d.distances.set(lengths[:32], &distanceMeaning)
}

// lengthOrder is the order of the lengths of the code for lengths.
var lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// symbolMeaning is that of symbols which are what they are. The flag keeps
// the first from being none.
var symbolMeaning = func() (m [maxLiterals + 2]uint32) {
	for i := range m {
		m[i] = isLiteral | uint32(i)<<valueAt
	}
	return m
}()

// dynamic reads the codes of a block (RFC 1951, 3.2.7).
func (d *inflater) dynamic() error {
	head, err := d.take(14)
	if err != nil {
		return err
	}
	literals, distances, n := int(head&31)+257, int(head>>5&31)+1, int(head>>10)+4
	if literals > maxLiterals || distances > maxDistances {
		return errInflate
	}
	var of [len(lengthOrder)]uint8
	for _, i := range lengthOrder[:n] {
		v, err := d.take(3)
		if err != nil {
			return err
		}
		of[i] = uint8(v)
	}
	if err := d.literals.set(of[:], &symbolMeaning); err != nil {
		return err
	}
	all := d.lengths[:literals+distances]
	for i := 0; i < len(all); {
		d.fill()
		e := d.literals.table[d.bits&(1<<tableBits-1)] // no code is longer than seven
		used := uint(e & 15)
		if e == 0 || used > d.n {
			return errInflate
		}
		d.bits >>= used
		d.n -= used
		symbol := uint8(e >> valueAt)
		if symbol < 16 {
			all[i] = symbol
			i++
			continue
		}
		repeat, more, value := 3, uint(2), uint8(0)
		switch {
		case symbol == 16 && i == 0:
			return errInflate
		case symbol == 16:
			value = all[i-1]
		case symbol == 17:
			more = 3
		default:
			repeat, more = 11, 7
		}
		v, err := d.take(more)
		if repeat += int(v); err != nil || repeat > len(all)-i {
			return errInflate
		}
		for range repeat {
			all[i] = value
			i++
		}
	}
	if err := d.literals.set(all[:literals], &literalMeaning); err != nil {
		return err
	}
	return d.distances.set(all[literals:], &distanceMeaning)
}
