package platform

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// checked makes a release with a health check and n web instances the live
// one, and lets a test make instances sick by their upstream.
func (w *world) checked(n int) (sick map[string]bool) {
	sick = map[string]bool{}
	w.Settings.StartTimeout = time.Minute
	w.prober.sick = func(upstream string) error {
		if sick[upstream] {
			return errors.New("GET /up had no answer within 3s")
		}
		return nil
	}
	w.live(func(r *hop3.Release) {
		r.Health = hop3.HealthCheck{Path: "/up"}
		r.Processes = []hop3.Process{{Type: "web", Command: "serve", Count: n}}
	})
	return sick
}

const second = "127.0.0.1:20001" // the address of web.2

func TestASickInstanceLeavesTheRotationAndComesBack(t *testing.T) {
	w := newWorld(t)
	sick := w.checked(2)
	w.upstreams(2)
	var restarted time.Time
	w.runtime.change = func(i *hop3.Instance) {
		if len(w.runtime.restarts) > 0 && i.Ordinal == 2 {
			if restarted.IsZero() {
				restarted = w.time.now()
			}
			i.StartedAt = restarted
		}
	}
	sick[second] = true
	w.pass(2*defaultInterval - time.Second)
	w.upstreams(2) // asked twice at most: not sick yet
	w.pass(2 * defaultInterval)
	w.upstreams(1)
	if got := w.proxy.route("blog").Upstreams; got[0] == second {
		t.Errorf("the sick one gets the requests: %v", got)
	}
	want := "web.2 of blog v2: health check: GET /up had no answer within 3s"
	if len(w.runtime.restarts) != 1 || w.runtime.restarts[0] != want {
		t.Errorf("restarts: %q, want %q", w.runtime.restarts, want)
	}
	s, err := w.AppStatus(t.Context(), alice, "blog")
	if err != nil || s.Crashed || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "web.2 is sick: health check: GET /up") {
		t.Errorf("status: %+v, %v", s.Problems, err)
	}
	delete(sick, second)
	w.pass(2 * minInterval) // and not a whole interval
	w.upstreams(2)
	if s, err := w.AppStatus(t.Context(), alice, "blog"); err != nil || len(s.Problems) != 0 {
		t.Errorf("status: %+v, %v", s.Problems, err)
	}
}

func TestTheLastInstanceKeepsTheRequests(t *testing.T) {
	w := newWorld(t)
	sick := w.checked(1)
	sick["127.0.0.1:20000"] = true
	w.pass(5 * defaultInterval)
	w.upstreams(1)
	if len(w.runtime.restarts) == 0 {
		t.Error("it was not restarted")
	}
	s, err := w.AppStatus(t.Context(), alice, "blog")
	if err != nil || !s.Crashed || !strings.Contains(s.Reason, "health check") {
		t.Errorf("status: crashed %v, %q, %v", s.Crashed, s.Reason, err)
	}
}

// An instance that has just been started gets its start timeout, not its
// retries, to pass for the first time.
func TestAStartingInstanceIsNotSick(t *testing.T) {
	w := newWorld(t)
	sick := w.checked(2)
	w.Settings.StartTimeout = 5 * time.Minute
	started := w.time.now()
	w.runtime.change = func(i *hop3.Instance) {
		if i.Ordinal == 2 {
			i.StartedAt = started
		}
	}
	sick[second] = true
	w.pass(4 * time.Minute)
	if len(w.runtime.restarts) != 0 {
		t.Errorf("restarts: %q", w.runtime.restarts)
	}
	w.pass(2 * time.Minute)
	if len(w.runtime.restarts) == 0 {
		t.Error("after its start timeout it is not restarted")
	}
}

func TestOnlyAnAppThatAsksForItIsChecked(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.prober.sick = func(upstream string) error {
		t.Errorf("%s was asked", upstream)
		return nil
	}
	w.pass(time.Minute)
}

// While an app is being changed nothing of it is restarted.
func TestHealthLeavesAnAppThatIsBeingSwitchedAlone(t *testing.T) {
	w := newWorld(t)
	sick := w.checked(2)
	sick[second] = true
	unlock, err := w.lockRunning(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	w.pass(10 * defaultInterval)
	if w.upstreams(2); len(w.runtime.restarts) != 0 {
		t.Errorf("restarts: %q", w.runtime.restarts)
	}
	unlock()
	w.pass(defaultInterval)
	w.upstreams(1)
}

func TestStatusSaysWhyAnAppDoesNotRun(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*hop3.Instance)
		crashed bool
		want    string
	}{
		"all is well": {func(*hop3.Instance) {}, false, ""},
		"one ended": {func(i *hop3.Instance) {
			if i.Ordinal == 2 {
				i.State, i.LastExit, i.Restarts = hop3.InstanceBackoff, "exit status 1", 3
			}
		}, false, "web.2 ended: exit status 1 (3 restarts)"},
		"all ended": {func(i *hop3.Instance) {
			i.State, i.LastExit, i.Restarts = hop3.InstanceBackoff, "out of memory (limit 64 MiB)", 1
		}, true, "web.1 ended: out of memory (limit 64 MiB) (1 restart)"},
		"killed": {func(i *hop3.Instance) {
			i.State, i.LastExit = hop3.InstanceStopped, "signal: killed"
		}, true, "web.1 ended: signal: killed (0 restarts)"},
		"another port": {func(i *hop3.Instance) { i.LogFile = "listens elsewhere" }, true, "web.1 listens on port 3000 instead of $PORT (20000)."},
		"another port, at first": {func(i *hop3.Instance) {
			i.LogFile, i.StartedAt = "listens elsewhere", time.Now().Add(time.Hour)
		}, false, "web.1 listens on port 3000 instead of $PORT (20000)."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.checked(2)
			w.runtime.change = c.change
			s, err := w.AppStatus(t.Context(), alice, "blog")
			if err != nil {
				t.Fatal(err)
			}
			first := ""
			if len(s.Problems) > 0 {
				first = s.Problems[0]
			}
			if s.Crashed != c.crashed || first != c.want || c.crashed && s.Reason != c.want {
				t.Errorf("crashed %v, %q, reason %q; want %v, %q", s.Crashed, s.Problems, s.Reason, c.crashed, c.want)
			}
		})
	}
}
