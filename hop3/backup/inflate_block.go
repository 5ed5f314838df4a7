package backup

import "encoding/binary"

// block decompresses a block, to which the codes belong, and returns where out
// is full to.
func (d *inflater) block(out []byte, at int) (int, error) {
	at, ended, err := d.fast(out, at)
	if ended || err != nil {
		return at, err
	}
	return d.careful(out, at)
}

// fast decompresses while there is more than enough in in and room in out, so
// that it has to look for neither. It reports whether the block ended.
func (d *inflater) fast(out []byte, at int) (_ int, ended bool, err error) {
	in, pos, next, n := d.in, d.pos, d.bits, d.n
	literals, distances := &d.literals.table, &d.distances.table
	// Two fills of at most eight bytes are a turn.
	for pos+16 <= len(in) && at+matchRoom+2 <= len(out) {
		next |= binary.LittleEndian.Uint64(in[pos:]) << n
		pos += int((63 - n) >> 3)
		n |= 56
		e := literals[next&(1<<tableBits-1)]
		if e&isLiteral != 0 {
			next >>= e & 15
			n -= uint(e & 15)
			out[at] = byte(e >> valueAt)
			at++
			e = literals[next&(1<<tableBits-1)]
			if e&isLiteral != 0 {
				next >>= e & 15
				n -= uint(e & 15)
				out[at] = byte(e >> valueAt)
				at++
				e = literals[next&(1<<tableBits-1)]
				if e&isLiteral != 0 {
					next >>= e & 15
					n -= uint(e & 15)
					out[at] = byte(e >> valueAt)
					at++
					continue
				}
			}
			next |= binary.LittleEndian.Uint64(in[pos:]) << n
			pos += int((63 - n) >> 3)
			n |= 56
		}
		if e == 0 {
			if e = d.literals.long(next); e == 0 {
				return at, false, errInflate
			}
		}
		next >>= e & 15
		n -= uint(e & 15)
		switch {
		case e&isLiteral != 0:
			out[at] = byte(e >> valueAt)
			at++
			continue
		case e&isEnd != 0:
			d.pos, d.bits, d.n = pos, next, n
			return at, true, nil
		case e&isMatch == 0:
			return at, false, errInflate
		}
		more := e >> 4 & 15
		length := int(e>>valueAt) + int(next&(1<<more-1))
		next >>= more
		n -= uint(more)
		e = distances[next&(1<<tableBits-1)]
		if e == 0 {
			e = d.distances.long(next)
		}
		next >>= e & 15
		n -= uint(e & 15)
		more = e >> 4 & 15
		distance := int(e>>valueAt) + int(next&(1<<more-1))
		next >>= more
		n -= uint(more)
		if e&isMatch == 0 || distance > at {
			return at, false, errInflate
		}
		if distance >= 8 {
			from, to := out[at-distance:at+length], out[at:at+length+8]
			for i := 0; i < length; i += 8 {
				binary.LittleEndian.PutUint64(to[i:], binary.LittleEndian.Uint64(from[i:]))
			}
		} else {
			repeat(out[at-distance:at+length], distance)
		}
		at += length
	}
	d.pos, d.bits, d.n = pos, next, n
	return at, false, nil
}

// repeat fills b with what its first n bytes are.
func repeat(b []byte, n int) {
	for i := n; i < len(b); i++ {
		b[i] = b[i-n]
	}
}

// careful decompresses what fast leaves, with a look at each end.
func (d *inflater) careful(out []byte, at int) (int, error) {
	for {
		d.fill()
		e, err := d.symbol(&d.literals)
		switch {
		case err != nil:
			return at, err
		case e&isEnd != 0:
			return at, nil
		case e&isLiteral != 0:
			if at == len(out) {
				return at, errInflate
			}
			out[at] = byte(e >> valueAt)
			at++
			continue
		}
		more, err := d.take(uint(e >> 4 & 15))
		if err != nil {
			return at, err
		}
		length := int(e>>valueAt) + int(more)
		d.fill()
		if e, err = d.symbol(&d.distances); err != nil {
			return at, err
		}
		if more, err = d.take(uint(e >> 4 & 15)); err != nil {
			return at, err
		}
		distance := int(e>>valueAt) + int(more)
		if distance > at || length > len(out)-at {
			return at, errInflate
		}
		repeat(out[at-distance:at+length], distance)
		at += length
	}
}

// symbol takes the next symbol, for which the bits are ready.
func (d *inflater) symbol(c *code) (uint32, error) {
	e := c.table[d.bits&(1<<tableBits-1)]
	if e == 0 {
		e = c.long(d.bits)
	}
	used := uint(e & 15)
	if e&(isLiteral|isEnd|isMatch) == 0 || used > d.n {
		return 0, errInflate
	}
	d.bits >>= used
	d.n -= used
	return e, nil
}
