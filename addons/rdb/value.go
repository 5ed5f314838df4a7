package rdb

import "fmt"

// readValue reads over a value.
func (r *Reader) readValue(kind byte) error {
	switch kind {
	case 0, 9, 10, 11, 12, 13, 16, 17, 20: // a string, or what is packed into one
		return r.strings(1)
	case 1, 2, 14: // list, set, list of packed lists
		return r.each(func() error { return r.strings(1) })
	case 4: // hash
		return r.each(func() error { return r.strings(2) })
	case 3: // sorted set with its scores as text
		return r.each(func() error {
			if err := r.strings(1); err != nil {
				return err
			}
			n, err := r.byte()
			if err != nil || n >= 253 { // not a number, and the infinities
				return err
			}
			return r.pass(uint64(n))
		})
	case 5: // sorted set
		return r.each(func() error {
			if err := r.strings(1); err != nil {
				return err
			}
			return r.pass(8)
		})
	case 7: // a module's own
		if err := r.lengths(1); err != nil {
			return err
		}
		return r.module()
	case 15, 19, 21:
		return r.stream(kind)
	case 18: // list of lists, each packed or not
		return r.each(func() error {
			if err := r.lengths(1); err != nil {
				return err
			}
			return r.strings(1)
		})
	case 24: // hash whose fields end; each with when
		if err := r.pass(8); err != nil {
			return err
		}
		return r.each(func() error {
			if err := r.lengths(1); err != nil {
				return err
			}
			return r.strings(2)
		})
	case 25: // the same, packed
		if err := r.pass(8); err != nil {
			return err
		}
		return r.strings(1)
	}
	return fmt.Errorf("the snapshot of Redis has a value of the type %d, which Hop3 does not know", kind)
}

// each reads a number, and that many times what read does.
func (r *Reader) each(read func() error) error {
	n, err := r.length()
	for i := uint64(0); err == nil && i < n; i++ {
		err = read()
	}
	return err
}

// stream reads over a stream: its entries, then its groups of consumers, each
// with what it has not acknowledged.
func (r *Reader) stream(kind byte) error {
	if err := r.each(func() error { return r.strings(2) }); err != nil {
		return err
	}
	numbers := 3 // how long it is, the last ID
	if kind >= 19 {
		numbers = 8 // and the first, the greatest deleted one, how many there were
	}
	if err := r.lengths(numbers); err != nil {
		return err
	}
	return r.each(func() error { return r.group(kind) })
}

func (r *Reader) group(kind byte) error {
	if err := r.strings(1); err != nil {
		return err
	}
	numbers := 2 // the last ID delivered
	if kind >= 19 {
		numbers = 3 // and how many were read
	}
	if err := r.lengths(numbers); err != nil {
		return err
	}
	err := r.each(func() error { // pending: ID, when, how often
		if err := r.pass(16 + 8); err != nil {
			return err
		}
		return r.lengths(1)
	})
	if err != nil {
		return err
	}
	return r.each(func() error { // consumers: name, when seen, when active
		if err := r.strings(1); err != nil {
			return err
		}
		times := uint64(8)
		if kind >= 21 {
			times = 16
		}
		if err := r.pass(times); err != nil {
			return err
		}
		return r.each(func() error { return r.pass(16) })
	})
}

// module reads over what a module has written: values of known sizes, up to
// an end.
func (r *Reader) module() error {
	for {
		op, err := r.length()
		if err != nil {
			return err
		}
		switch op {
		case 0:
			return nil
		case 1, 2:
			err = r.lengths(1)
		case 3:
			err = r.pass(4)
		case 4:
			err = r.pass(8)
		case 5:
			err = r.strings(1)
		default:
			err = corrupt("a module's value has a part of the type %d", op)
		}
		if err != nil {
			return err
		}
	}
}
