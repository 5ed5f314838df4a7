package caddymodules

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Grace is what a server that ends leaves to what is under way.
type Grace struct {
	Requests time.Duration // begun before the end was asked for; WebSockets are not waited for
	Changes  time.Duration // pushes, deploys and other changes of apps
	Last     time.Duration // connections, once nothing is accepted any more
}

// farewell is for how long clients are told not to use their connection
// again before the idle ones are closed under them.
const farewell = 300 * time.Millisecond

// Drain prepares the server that runs on a home for its end, while its sockets
// stay open for the next one: it waits for what is under way, and goes on
// serving new requests; then it accepts no more and finishes these too. New SSH
// connections wait in their socket all the time. What it has not got done in
// time, caddy.Stop cuts off.
func Drain(ctx context.Context, home string, grace Grace) error {
	c := running(home)
	if c == nil {
		return hop3.Errorf(hop3.CodeUnavailable, "no server runs on %s", home)
	}
	c.gate.ending.Store(int64(max(grace.Last, 1)))
	endFollowing(home)
	var all sync.WaitGroup
	var requests, changes error
	all.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, grace.Requests)
		defer cancel()
		requests = c.gate.wait(ctx)
	})
	if grace.Changes > 0 {
		all.Go(func() { changes = c.drainChanges(ctx, grace.Changes) })
	}
	all.Go(func() { time.Sleep(min(farewell, grace.Requests)) })
	all.Wait()
	return errors.Join(requests, changes, End(ctx, home, grace.Last))
}

// endFollowing ends what people follow: who waits for requests does not wait for
// what has no end.
func endFollowing(home string) {
	if p := Platform(home); p != nil {
		p.EndFollowing()
	}
}

// drainChanges waits for the changes under way and for the SSH sessions. After
// the limit they are interrupted, and have a moment to tell whom they serve.
func (c *core) drainChanges(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit+sessionsEndExit)
	defer cancel()
	late := time.AfterFunc(limit, c.Platform.Interrupt)
	defer late.Stop()
	var err error
	if server := c.ssh.Load(); server != nil {
		err = server.Shutdown(ctx)
	}
	return errors.Join(err, c.Platform.Quiet(ctx))
}

// End makes the server that runs on a home accept no more HTTP connections, and
// returns when those it has are done, or last has passed. caddy.Stop is to
// follow.
func End(ctx context.Context, home string, last time.Duration) error {
	c := running(home)
	if c == nil {
		return nil
	}
	c.gate.ending.CompareAndSwap(0, int64(max(last, 1)))
	endFollowing(home)
	ctx, cancel := context.WithTimeout(ctx, last)
	defer cancel()
	return c.gate.shut(ctx)
}
