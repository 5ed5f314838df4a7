package platform

import (
	"context"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// queue bounds how many builds run at once and how many may wait.
type queue struct {
	mu      sync.Mutex
	running int
	waiting []*waiter // in order of arrival
}

type waiter struct {
	turn chan struct{}
	out  hop3.Output
}

// buildSlot waits for one of the build slots. The returned function gives it
// back. It returns a CodeUnavailable error when too many builds wait already.
func (p *Platform) buildSlot(ctx context.Context, out hop3.Output) (func(), error) {
	q, running, waiting := &p.queue, p.Settings.ConcurrentBuilds, p.Settings.WaitingBuilds
	q.mu.Lock()
	if q.running < running {
		q.running++
		q.mu.Unlock()
		return sync.OnceFunc(q.next), nil
	}
	ahead := len(q.waiting)
	if ahead >= waiting {
		q.mu.Unlock()
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the build queue is full: %d builds are waiting", ahead).
			WithHint("Try again in a few minutes.")
	}
	w := &waiter{turn: make(chan struct{}), out: out}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	say(out, "-----> Waiting for a build slot: %d builds are running and %d are ahead", running, ahead)

	select {
	case <-w.turn:
		return sync.OnceFunc(q.next), nil
	case <-ctx.Done():
		q.leave(w)
		return nil, canceled(ctx)
	}
}

// next hands the caller's slot to the build that waits longest.
func (q *queue) next() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running--
		return
	}
	close(q.waiting[0].turn)
	q.waiting = q.waiting[1:]
}

// leave takes w out of the line; a turn it got in the meantime goes on.
func (q *queue) leave(w *waiter) {
	q.mu.Lock()
	for i, other := range q.waiting {
		if other == w {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			q.mu.Unlock()
			return
		}
	}
	q.mu.Unlock()
	q.next()
}
