package platform

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func (f *fakeProber) Probe(_ context.Context, upstream, _ string, _ hop3.HealthCheck) error {
	if f.sick == nil {
		return nil
	}
	return f.sick(upstream)
}

// Diagnose finds what a test has put into the name of the log.
func (*fakeProber) Diagnose(i hop3.Instance) string {
	if i.LogFile == "listens elsewhere" {
		return instanceName(i) + " listens on port 3000 instead of $PORT (20000)."
	}
	return ""
}

// Load is what a test says is under way.
func (f *fakeProxy) Load(app string) hop3.Load {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loads[app]
}

func (f *fakeProxy) load(app string, l hop3.Load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loads == nil {
		f.loads = map[string]hop3.Load{}
	}
	f.loads[app] = l
}

func (*fakeProxy) DrainEarlier(context.Context, hop3.ReleaseID) error { return nil }

// testClock is a time that a test moves.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// pass moves the time in the steps of the loops, which run at each.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for ; d > 0; d -= tendEvery {
		w.tick(min(d, tendEvery))
		w.settled()
	}
}

// tick moves the time once, and does not wait for what that begins.
func (w *world) tick(d time.Duration) {
	w.time.mu.Lock()
	w.time.t = w.time.t.Add(d)
	w.time.mu.Unlock()
	w.tend(w.now())
}

// live deploys blog and replaces the release by one that change alters.
func (w *world) live(change func(*hop3.Release)) hop3.Release {
	w.t.Helper()
	first := w.deployed("one")
	unlock, app, live, err := w.lockLive(w.t.Context(), "blog")
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.rereleaseLocked(w.t.Context(), alice, app, live, hop3.ReleaseUpload, change, w.out)
	unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	w.settled()
	if r.Number == first.Number {
		w.t.Fatal("no new release")
	}
	return r
}

func (w *world) upstreams(want int) {
	w.t.Helper()
	if got := w.proxy.route("blog").Upstreams; len(got) != want {
		w.t.Errorf("requests go to %v, want %d instances", got, want)
	}
}

func (w *world) app() hop3.App {
	w.t.Helper()
	app, err := w.Store.App(w.t.Context(), "blog")
	if err != nil {
		w.t.Fatal(err)
	}
	return app
}

// TestAnIdleServerDoesNothing counts what the loops do to an app that is well.
func TestAnIdleServerDoesNothing(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	sets, starts, updated := w.proxy.sets, w.runtime.starts, w.app().UpdatedAt
	w.pass(time.Minute)
	if err := w.repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.proxy.sets != sets || w.runtime.starts != starts || !w.app().UpdatedAt.Equal(updated) {
		t.Errorf("%d routes set, %d starts, %v written", w.proxy.sets-sets, w.runtime.starts-starts, w.app().UpdatedAt)
	}
	w.serves(1)
}

func BenchmarkTend(b *testing.B) {
	p := &Platform{Proxy: &fakeProxy{}}
	now := time.Now()
	for i := range 1000 {
		r := hop3.Release{App: string(rune('a'+i/26)) + string(rune('a'+i%26)), Number: 1, Processes: []hop3.Process{{Type: "web", Count: 1}}}
		r.Scaling = map[string]hop3.Scaling{"web": {SleepAfter: time.Hour}}
		p.running.put(r, nil, true, now)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.tend(now)
	}
}
