package backup

import (
	"fmt"
	"io"
	"sync"
)

// zipper compresses what is written to it on all processors, and writes it in
// order. It is closed also after an error: that ends what it started.
type zipper struct {
	out   io.Writer
	now   *member
	free  chan *member // as many as there are
	work  chan *member
	order chan *member
	ended sync.WaitGroup

	mu     sync.Mutex
	failed error
}

// member is one that is being written or read.
type member struct {
	packed, data []byte
	err          error
	done         chan struct{} // has one when both are there
}

func newMember() *member {
	return &member{data: make([]byte, 0, memberData), done: make(chan struct{}, 1)}
}

// newZipper returns a zipper that writes to out.
func newZipper(out io.Writer) *zipper {
	n := atOnce()
	all := 2*n + 1
	z := &zipper{out: out, free: make(chan *member, all), work: make(chan *member, all), order: make(chan *member, all)}
	for range all {
		z.free <- newMember()
	}
	z.now = <-z.free
	for range n {
		z.ended.Go(z.compress)
	}
	z.ended.Go(z.write)
	return z
}

func (z *zipper) compress() {
	var p packer
	for m := range z.work {
		m.err = guarded("compressing", func() (err error) {
			m.packed, err = p.pack(m.packed, m.data)
			return err
		})
		m.done <- struct{}{}
	}
}

// guarded has a panic end what is read or written, not the server.
func guarded(what string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", what, p)
		}
	}()
	return do()
}

// write writes in order. After an error it takes what comes, and drops it.
func (z *zipper) write() {
	for m := range z.order {
		<-m.done
		err := m.err
		if err == nil && z.err() == nil {
			err = guarded("writing", func() error { _, err := z.out.Write(m.packed); return err })
		}
		z.fail(err)
		z.free <- m
	}
}

func (z *zipper) err() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.failed
}

func (z *zipper) fail(err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.failed == nil {
		z.failed = err
	}
}

// Write implements io.Writer. An error is that of what was written earlier.
func (z *zipper) Write(b []byte) (int, error) {
	done := 0
	for {
		n := min(memberData-len(z.now.data), len(b)-done)
		z.now.data = append(z.now.data, b[done:done+n]...)
		if done += n; done == len(b) {
			return done, nil
		}
		if err := z.err(); err != nil {
			return done, err
		}
		z.pass()
	}
}

// pass has what there is compressed, and begins another member.
func (z *zipper) pass() {
	z.order <- z.now
	z.work <- z.now
	z.now = <-z.free
	z.now.data = z.now.data[:0]
}

// Close writes what is left and the end, and waits for it.
func (z *zipper) Close() error {
	if len(z.now.data) > 0 {
		z.pass()
	}
	z.pass() // the empty one
	close(z.work)
	close(z.order)
	z.ended.Wait()
	return z.err()
}
