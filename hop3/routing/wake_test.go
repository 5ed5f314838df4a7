package routing

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func sleeping(w Waker) (*Table, *clock) {
	table, c := NewTable(), &clock{t: time.Unix(1e9, 0)}
	table.wakes.now = c.now
	table.SetWaker(w)
	return table, c
}

func (t *Table) waiting() int {
	t.wakes.mu.Lock()
	defer t.wakes.mu.Unlock()
	return t.wakes.held
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain until " + what)
		}
	}
}

func TestManyRequestsMakeOneStart(t *testing.T) {
	var starts atomic.Int32
	up := make(chan struct{})
	table, _ := sleeping(func(_ context.Context, app string) error {
		starts.Add(1)
		<-up
		return nil
	})
	var requests sync.WaitGroup
	for range 200 {
		requests.Go(func() {
			if err := table.Wake(t.Context(), "blog"); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "all wait", func() bool { return table.waiting() == 200 })
	close(up)
	requests.Wait()
	if n := starts.Load(); n != 1 {
		t.Errorf("%d starts", n)
	}
	if table.waiting() != 0 || len(table.wakes.apps) != 0 {
		t.Errorf("left behind: %d held, %v", table.waiting(), table.wakes.apps)
	}
}

func TestTheStartDoesNotDependOnWhoAskedFirst(t *testing.T) {
	up := make(chan struct{})
	var ended error
	table, _ := sleeping(func(ctx context.Context, _ string) error {
		<-up
		ended = ctx.Err()
		return nil
	})
	first, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- table.Wake(first, "blog") }()
	until(t, "the first waits", func() bool { return table.waiting() == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left was told %v", err)
	}
	second := make(chan error, 1)
	go func() { second <- table.Wake(t.Context(), "blog") }()
	until(t, "the second waits", func() bool { return table.waiting() == 1 })
	close(up)
	if err := <-second; err != nil || ended != nil {
		t.Errorf("the second was told %v, the start %v", err, ended)
	}
}

func TestAFailedWakeIsNotTriedAgainAtOnce(t *testing.T) {
	broken := errors.New("no such program")
	var starts int
	table, clock := sleeping(func(context.Context, string) error {
		starts++
		return broken
	})
	for i, pause := range []time.Duration{5, 10, 20, 40, 60, 60} {
		var failed *NotAwake
		if err := table.Wake(t.Context(), "blog"); !errors.Is(err, broken) || !errors.As(err, &failed) || failed.RetryAfter != pause*time.Second {
			t.Fatalf("attempt %d: %v, want a pause of %d s", i, err, pause)
		}
		clock.pass(pause*time.Second - time.Millisecond)
		if err := table.Wake(t.Context(), "blog"); !errors.As(err, &failed) || failed.Err != nil || failed.RetryAfter != time.Millisecond {
			t.Fatalf("within the pause: %v", err)
		}
		if starts != i+1 {
			t.Fatalf("%d starts, want %d", starts, i+1)
		}
		clock.pass(time.Millisecond)
	}
	set(t, table, hop3.Route{App: "blog", Status: hop3.RouteAsleep})
	if err := table.Wake(t.Context(), "blog"); !errors.Is(err, broken) {
		t.Errorf("after a change of the app: %v, want another attempt", err)
	}
}

func TestHeldRequestsAreBounded(t *testing.T) {
	up := make(chan struct{})
	table, _ := sleeping(func(context.Context, string) error { <-up; return nil })
	table.wakes.held = maxHeldTotal - maxHeld - 1
	var requests sync.WaitGroup
	for range maxHeld {
		requests.Go(func() { _ = table.Wake(t.Context(), "blog") })
	}
	until(t, "all wait", func() bool { return table.waiting() == maxHeldTotal-1 })
	var full *NotAwake
	if err := table.Wake(t.Context(), "blog"); !errors.As(err, &full) || !full.Busy {
		t.Errorf("one too many for the app: %v", err)
	}
	requests.Go(func() { _ = table.Wake(t.Context(), "shop") })
	until(t, "all wait", func() bool { return table.waiting() == maxHeldTotal })
	if err := table.Wake(t.Context(), "wiki"); !errors.As(err, &full) || !full.Busy {
		t.Errorf("one too many for the server: %v", err)
	}
	close(up)
	requests.Wait()
}

func TestAPanicOfAStartIsAFailure(t *testing.T) {
	table, _ := sleeping(func(context.Context, string) error { panic("oh") })
	var failed *NotAwake
	if err := table.Wake(t.Context(), "blog"); !errors.As(err, &failed) {
		t.Fatal(err)
	}
}

// TestTheLoadTellsIdleFromBusy goes through the life of requests.
func TestTheLoadTellsIdleFromBusy(t *testing.T) {
	table := NewTable()
	if load := table.Load("blog"); load != (hop3.Load{}) {
		t.Errorf("an unknown app has %+v", load)
	}
	set(t, table, route("blog", 1, "blog.test"))
	before := table.Load("blog").Requests
	quick, _ := table.Claim("blog.test")
	quick.Release()
	if load := table.Load("blog"); load.InFlight != 0 || load.Requests == before {
		t.Errorf("after a request: %+v", load)
	}
	stream, _ := table.Claim("blog.test")
	set(t, table, route("blog", 1, "blog.test", "www.blog.test"))
	if load := table.Load("blog"); load.InFlight != 1 || load.Draining != 0 {
		t.Errorf("a stream on an earlier route of the release: %+v", load)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if table.DrainEarlier(short, hop3.ReleaseID{App: "blog", Number: 1}) == nil {
		t.Error("the stream was not waited for")
	}
	set(t, table, hop3.Route{App: "blog", Hosts: []string{"blog.test"}, Status: hop3.RouteAsleep})
	if load := table.Load("blog"); load.InFlight != 0 || load.Draining != 1 {
		t.Errorf("a stream on the release that was: %+v", load)
	}
	stream.Release()
	if load := table.Load("blog"); load.InFlight+load.Draining != 0 {
		t.Errorf("after all: %+v", load)
	}
}
