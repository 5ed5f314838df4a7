package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// change is what changes of one route cost under load.
type change struct {
	times []float64 // in ms, from the order until the new upstream answers
	load  figures   // meanwhile
}

// The load goes on for longer than changes are begun: the last one is under
// load too, where it takes less than the rest.
const (
	changeLoad  = 12 * time.Second
	changesLast = 8 * time.Second
)

// changes moves the contestant's first app from one upstream to the other and
// back, time and again, while wrk asks for all hot hosts.
func (c *contestant) changes(ctx context.Context, dir string, connections int, upstreams [2]string) error {
	loaded := make(chan error, 1)
	go func() {
		var err error
		c.moved.load, err = c.wrk(ctx, dir, changeLoad, connections)
		loaded <- err
	}()
	texts := [2]string{"hello from the backend", "hello from the other one"}
	var err error
	for began, side := time.Now(), 1; time.Since(began) < changesLast && err == nil; side = 1 - side {
		err = c.moveTo(ctx, upstreams[side], texts[side])
	}
	if loadErr := <-loaded; err == nil {
		err = loadErr
	}
	return err
}

// moveTo waits until the first app is answered by an upstream, which is known
// by its text.
func (c *contestant) moveTo(ctx context.Context, upstream, text string) error {
	ordered := time.Now()
	if err := c.change(upstream); err != nil {
		return err
	}
	for {
		got, err := c.ask(ctx, host(0)) // an error is what the load is to count
		if err == nil && strings.HasPrefix(got, text) {
			c.moved.times = append(c.moved.times, float64(time.Since(ordered))/float64(time.Millisecond))
			return nil
		}
		if time.Since(ordered) > 2*time.Minute || ctx.Err() != nil {
			return fmt.Errorf("the route does not change: %q, %w", got, err)
		}
	}
}
