package platform

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
)

func TestDecide(t *testing.T) {
	s := hop3.Scaling{Min: 2, Max: 8}
	for _, c := range []struct {
		name            string
		current         int
		lately, overall float64
		settled         bool
		want            int
	}{
		{"nothing to do", 2, 0, 0, true, 2},
		{"below the least", 1, 0, 0, true, 2},
		{"above the most", 9, 90, 90, true, 8},
		{"just enough", 3, 30, 30, true, 3},
		{"a little more", 3, 30.1, 0, false, 4},
		{"a wave", 2, 65, 11, false, 7},
		{"a flood", 2, 1000, 100, false, 8},
		{"the wave is over", 7, 0, 65, true, 7},
		{"and has been for a while", 7, 0, 59, true, 6},
		{"but not long since the last step up", 7, 0, 0, false, 7},
		{"one at a time", 7, 0, 0, true, 6},
		{"less overall, more lately", 4, 39, 5, true, 4},
	} {
		if got := decide(c.current, s, c.lately, c.overall, c.settled); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// simulate runs the scaler for a time in which the load is what load says of
// each second, and returns the number of instances at each.
func simulate(s hop3.Scaling, start, seconds int, load func(second int) int) []int {
	var w window
	now, current := time.Unix(1e9, 0), start
	var counts []int
	for i := range seconds {
		now = now.Add(sampleEvery)
		if w.add(now, load(i)) {
			if n := w.wants(current, s, now); n != current {
				w.stepped(n > current, now)
				current = n
			}
		}
		counts = append(counts, current)
	}
	return counts
}

func TestTheScaleConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hop3.Scaling{TargetConcurrency: rapid.IntRange(1, 50).Draw(t, "target")}
		s.Min = rapid.IntRange(1, 10).Draw(t, "min")
		s.Max = rapid.IntRange(s.Min, 20).Draw(t, "max")
		start := rapid.IntRange(s.Min, s.Max).Draw(t, "start")
		load := rapid.IntRange(0, 1000).Draw(t, "load")
		counts := simulate(s, start, 60+20*20, func(int) int { return load })
		want := min(max((load+s.TargetConcurrency-1)/s.TargetConcurrency, s.Min), s.Max)
		turns := 0
		for i, n := range counts {
			if n < s.Min || n > s.Max {
				t.Fatalf("%d instances, outside of %d to %d", n, s.Min, s.Max)
			}
			if i > 1 && (n-counts[i-1])*(want-start) < 0 {
				turns++ // away from where the load is
			}
		}
		if turns > 0 || counts[len(counts)-1] != want {
			t.Fatalf("from %d to %d with %d turns, want %d: %v", start, counts[len(counts)-1], turns, want, counts)
		}
	})
}

// TestTheScaleStaysWithinItsBounds lets the load do what it likes.
func TestTheScaleStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hop3.Scaling{Min: rapid.IntRange(1, 5).Draw(t, "min")}
		s.Max = rapid.IntRange(s.Min, 9).Draw(t, "max")
		loads := rapid.SliceOfN(rapid.IntRange(0, 500), 50, 300).Draw(t, "loads")
		before := s.Min
		for i, n := range simulate(s, s.Min, len(loads), func(i int) int { return loads[i] }) {
			if n < s.Min || n > s.Max || n < before-1 {
				t.Fatalf("second %d: from %d to %d", i, before, n)
			}
			before = n
		}
	})
}

func (w *world) elastic(lowest, highest int) hop3.Release {
	w.t.Helper()
	return w.live(func(r *hop3.Release) {
		r.Scaling = map[string]hop3.Scaling{"web": {Min: lowest, Max: highest}}
		r.Processes = []hop3.Process{{Type: "web", Command: "serve", Count: 1}, {Type: "worker", Command: "work", Count: 2}}
	})
}

// scale returns how many instances of web and worker run.
func (w *world) scale() (web, worker int) {
	w.t.Helper()
	instances, err := w.runtime.Instances(w.t.Context(), hop3.ReleaseID{App: "blog", Number: w.app().Live})
	if err != nil {
		w.t.Fatal(err)
	}
	return ofType(instances, "web"), ofType(instances, "worker")
}

func (w *world) runs(web int) {
	w.t.Helper()
	w.upstreams(web)
	if n, workers := w.scale(); n != web || workers != 2 {
		w.t.Errorf("%d web and %d worker run, want %d and 2", n, workers, web)
	}
}

func TestTheNumberOfInstancesFollowsTheLoad(t *testing.T) {
	w := newWorld(t)
	r := w.elastic(1, 4)
	w.runs(1)
	w.proxy.load("blog", hop3.Load{InFlight: 25})
	w.pass(15 * time.Second)
	w.runs(3)
	w.proxy.load("blog", hop3.Load{InFlight: 900})
	w.pass(15 * time.Second)
	w.runs(4)
	w.proxy.load("blog", hop3.Load{})
	w.pass(30 * time.Second)
	w.runs(4)
	w.pass(3 * time.Minute)
	w.runs(1)
	if got := w.app().Live; got != r.Number {
		t.Errorf("release %d is live: scaling made a release", got)
	}
}

func TestInstancesThatDoNotBecomeReadyAreTakenBack(t *testing.T) {
	w := newWorld(t)
	w.elastic(1, 4)
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "not ready")
	w.proxy.load("blog", hop3.Load{InFlight: 25})
	starts := w.runtime.starts
	w.pass(failedPause / 2)
	w.runs(1)
	if n := w.runtime.starts - starts; n != 1 {
		t.Errorf("%d attempts", n)
	}
	w.prober.fail = nil
	w.pass(failedPause)
	w.runs(3)
}

// New instances get requests once they are ready, and a deploy does not wait
// for them.
func TestADeployWhileInstancesStart(t *testing.T) {
	w := newWorld(t)
	w.elastic(1, 4)
	hold := make(chan struct{})
	w.prober.hold = hold
	w.proxy.load("blog", hop3.Load{InFlight: 25})
	for range 20 {
		w.tick(tendEvery)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if n, _ := w.scale(); n == 2 {
			break // the first step is under way
		}
		if time.Now().After(deadline) {
			t.Fatal("no instance was started")
		}
	}
	w.upstreams(1)
	unlock, err := w.lockRunning(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	close(hold)
	w.settled()
	w.runs(2)
	w.pass(5 * time.Second)
	w.runs(3)
}

func TestADeployKeepsTheScale(t *testing.T) {
	w := newWorld(t)
	w.elastic(1, 4)
	w.proxy.load("blog", hop3.Load{InFlight: 25})
	w.pass(15 * time.Second)
	if err := w.RestartApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	w.settled()
	w.runs(3)
}

func TestAServerThatStartsAgainKeepsWhatRunsWithinTheBounds(t *testing.T) {
	w := newWorld(t)
	r := w.elastic(1, 4)
	for _, c := range []struct{ running, want int }{{3, 3}, {9, 4}, {0, 1}} {
		l := withCount(w.launch(r), "web", c.running)
		if _, err := w.runtime.Start(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		w.reboot()
		if err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.runs(c.want)
	}
}

func TestScalingByHandIsRefusedWhereTheLoadDecides(t *testing.T) {
	w := newWorld(t)
	w.elastic(1, 4)
	if err := w.Scale(t.Context(), alice, "blog", map[string]int{"web": 3}, w.out); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("web=3: %v", err)
	}
	if err := w.Scale(t.Context(), alice, "blog", map[string]int{"worker": 1}, w.out); err != nil {
		t.Errorf("worker=1: %v", err)
	}
}
