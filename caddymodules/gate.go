package caddymodules

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// gate counts the requests in flight of one server, holds those that come
// before it is ready, and lets a server that is about to end wait for them. It
// is pooled with the core. Its methods are safe for concurrent use; wait is
// called once, at the end.
//
// Requests are counted by the epoch they began in, so that the old ones can be
// waited for while new ones keep coming.
type gate struct {
	ready    chan struct{} // closed by open
	opened   atomic.Bool
	epoch    atomic.Uint64
	inFlight [2]atomic.Int64 // by parity of the epoch
	fresh    atomic.Int64    // connections that have not had a request yet

	// ending is how long what is under way may take once the listeners are
	// closed, in nanoseconds. Zero: the server is not ending.
	ending atomic.Int64

	// paused says that another program serves from the public sockets.
	paused atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{} // whose servers may still accept
	public    map[*publicListener]struct{}
}

// gateHold is how long a request waits for a server that starts. Bringing all
// apps of a machine back after its start can take longer; then the page says
// that the server is starting.
const gateHold = 10 * time.Second

// gateFresh is how long a server that ends waits for the first request of a
// connection. Browsers open some that they never use.
const gateFresh = time.Second

// gatePoll is how often a wait looks. Waits are for ends of servers only.
const gatePoll = 5 * time.Millisecond

func newGate() *gate {
	return &gate{ready: make(chan struct{}), listeners: map[net.Listener]struct{}{}, public: map[*publicListener]struct{}{}}
}

// open lets the requests through that waited for the server to start.
func (g *gate) open() {
	if g.opened.CompareAndSwap(false, true) {
		close(g.ready)
	}
}

// await returns when the server has started, has taken too long to, or nobody
// waits any more.
func (g *gate) await(ctx context.Context) {
	if g.opened.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, gateHold)
	defer cancel()
	select {
	case <-g.ready:
	case <-ctx.Done():
	}
}

// begin counts a request. What it returns goes to end.
func (g *gate) begin() uint64 {
	for {
		epoch := g.epoch.Load()
		g.inFlight[epoch&1].Add(1)
		if g.epoch.Load() == epoch {
			return epoch
		}
		// A wait began meanwhile and may have missed us.
		g.inFlight[epoch&1].Add(-1)
	}
}

func (g *gate) end(epoch uint64) { g.inFlight[epoch&1].Add(-1) }

// count returns the number of requests in flight.
func (g *gate) count() int64 { return g.inFlight[0].Load() + g.inFlight[1].Load() }

// wait returns when the requests that have begun before it have ended, or ctx
// has. Later ones go on being served.
func (g *gate) wait(ctx context.Context) error {
	old := g.epoch.Add(1) - 1
	return poll(ctx, func() bool { return g.inFlight[old&1].Load() <= 0 })
}

// idle returns when no request is in flight, or ctx has ended.
func (g *gate) idle(ctx context.Context) error {
	return poll(ctx, func() bool { return g.count() <= 0 })
}

// shut closes the listeners, and returns when what they have accepted is
// answered, or ctx has ended.
func (g *gate) shut(ctx context.Context) error {
	g.mu.Lock()
	for l := range g.listeners {
		_ = l.Close() // nobody can do anything about it
	}
	g.mu.Unlock()
	if err := poll(ctx, func() bool { return g.accepting() == 0 }); err != nil {
		return err
	}
	fresh, cancel := context.WithTimeout(ctx, gateFresh)
	defer cancel()
	_ = poll(fresh, func() bool { return g.fresh.Load() <= 0 }) // those left have nothing to say
	return g.idle(ctx)
}

func (g *gate) add(l net.Listener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners[l] = struct{}{}
}

func (g *gate) remove(l net.Listener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.listeners, l)
}

// accepting returns the number of listeners that may still accept.
func (g *gate) accepting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.listeners)
}

// poll returns when done is true, or with ctx's error.
func poll(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(gatePoll)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
