package caddymodules

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestGateHoldsUntilOpen(t *testing.T) {
	g := newGate()
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		g.await(t.Context())
	}()
	select {
	case <-passed:
		t.Fatal("a request passed a gate that is closed")
	default:
	}
	g.open()
	g.open() // twice is once
	<-passed
	gone, leave := context.WithCancel(t.Context())
	leave()
	newGate().await(gone) // a client that has left does not wait
}

func TestGateWaitsForOldRequestsOnly(t *testing.T) {
	g := newGate()
	old := g.begin()
	waited := make(chan error, 1)
	go func() { waited <- g.wait(t.Context()) }()
	for g.epoch.Load() == old { // until wait has begun
		time.Sleep(time.Millisecond)
	}
	late := g.begin()
	select {
	case err := <-waited:
		t.Fatalf("wait did not wait for the old request: %v", err)
	default:
	}
	g.end(old)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if g.count() != 1 {
		t.Errorf("%d requests are in flight, want the late one", g.count())
	}
	g.end(late)
}

func TestGateWaitEndsWithItsContext(t *testing.T) {
	g := newGate()
	g.begin()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := g.wait(ctx); !errors.Is(err, why) {
		t.Errorf("wait returned %v", err)
	}
}

// TestGateCountsUnderLoad lets requests begin and end while one wait after the
// other begins: none is lost or counted twice.
func TestGateCountsUnderLoad(t *testing.T) {
	g := newGate()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				g.end(g.begin())
			}
		})
	}
	for range 20 {
		if err := g.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	all.Wait()
	if g.count() != 0 {
		t.Errorf("%d requests are in flight when all have ended", g.count())
	}
}
