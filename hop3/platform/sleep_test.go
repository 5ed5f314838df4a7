package platform

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

const napAfter = 15 * time.Minute

// drowsy makes a release that sleeps after 15 minutes, with a worker, the live
// one.
func (w *world) drowsy() hop3.Release {
	w.t.Helper()
	return w.live(func(r *hop3.Release) {
		r.Scaling = map[string]hop3.Scaling{"web": {SleepAfter: napAfter}}
		r.Processes = []hop3.Process{{Type: "web", Command: "serve", Count: 1}, {Type: "worker", Command: "work", Count: 1}}
	})
}

// sleeps checks that blog is asleep in every respect.
func (w *world) sleeps() {
	w.t.Helper()
	w.settled()
	if app := w.app(); !app.Asleep || app.State != hop3.StateRunning {
		w.t.Errorf("the app is %s, asleep %v", app.State, app.Asleep)
	}
	if r := w.proxy.route("blog"); r.Status != hop3.RouteAsleep || r.Release != 0 || len(r.Hosts) == 0 {
		w.t.Errorf("the route is %+v", r)
	}
	if running, _ := w.runtime.Releases(w.t.Context()); len(running) != 0 {
		w.t.Errorf("%v run", running)
	}
}

func TestAnIdleAppFallsAsleepAndWakes(t *testing.T) {
	w := newWorld(t)
	r := w.drowsy()
	w.pass(napAfter - time.Second)
	w.serves(r.Number)
	w.pass(2 * time.Second)
	w.sleeps()
	s, err := w.AppStatus(t.Context(), alice, "blog")
	if err != nil || s.Crashed || !s.App.Asleep {
		t.Errorf("status: %+v, %v", s, err)
	}
	if err := w.repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sleeps()
	if err := w.Wake(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	if w.serves(r.Number); w.app().Asleep {
		t.Error("asleep after it woke")
	}
	w.pass(napAfter + time.Second)
	w.sleeps()
}

func TestRequestsKeepAnAppAwake(t *testing.T) {
	w := newWorld(t)
	r := w.drowsy()
	for n := range 4 {
		w.pass(napAfter / 2)
		w.proxy.load("blog", hop3.Load{Requests: uint64(n + 1)})
	}
	w.serves(r.Number)
	w.proxy.load("blog", hop3.Load{Requests: 9, InFlight: 1}) // a WebSocket
	w.pass(3 * napAfter)
	w.serves(r.Number)
	w.proxy.load("blog", hop3.Load{Requests: 9})
	w.pass(napAfter - time.Second) // counted from its end
	w.serves(r.Number)
	w.pass(2 * time.Second)
	w.sleeps()
}

// A request that comes while the app falls asleep keeps it awake.
func TestARequestInTheLastMomentKeepsAnAppAwake(t *testing.T) {
	w := newWorld(t)
	r := w.drowsy()
	w.proxy.load("blog", hop3.Load{Draining: 1})
	w.sleep(t.Context(), r)
	if w.serves(r.Number); w.app().Asleep {
		t.Error("the database says that it is asleep")
	}
}

func TestAServerThatEndsFindsTheAppAsleepOrAwake(t *testing.T) {
	t.Run("asleep", func(t *testing.T) {
		w := newWorld(t)
		r := w.drowsy()
		// The database is written, nothing is stopped yet.
		if _, err := w.Store.UpdateApp(t.Context(), "blog", func(a *hop3.App) error { a.Asleep = true; return nil }); err != nil {
			t.Fatal(err)
		}
		w.reboot()
		if err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.sleeps()
		if err := w.Wake(t.Context(), "blog"); err != nil {
			t.Fatal(err)
		}
		w.serves(r.Number)
	})
	t.Run("half awake", func(t *testing.T) {
		w := newWorld(t)
		r := w.drowsy()
		w.sleep(t.Context(), r)
		if _, err := w.runtime.Start(t.Context(), w.launch(r)); err != nil {
			t.Fatal(err)
		}
		w.reboot()
		if err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.sleeps()
	})
}

func TestAFailedWakeLeavesTheAppAsleepAndSaysWhy(t *testing.T) {
	w := newWorld(t)
	r := w.drowsy()
	w.sleep(t.Context(), r)
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "web.1 does not stay up: it ended 3 times")
	if err := w.Wake(t.Context(), "blog"); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Fatal(err)
	}
	w.sleeps()
	if s, err := w.AppStatus(t.Context(), alice, "blog"); err != nil || !strings.Contains(s.Reason, "could not wake it: web.1 does not stay up") {
		t.Errorf("status: %q, %v", s.Reason, err)
	}
	w.prober.fail = nil
	if err := w.Wake(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	w.serves(r.Number)
	if s, err := w.AppStatus(t.Context(), alice, "blog"); err != nil || s.Reason != "" {
		t.Errorf("status: %q, %v", s.Reason, err)
	}
}

func TestChangesOfAnAppThatIsAsleep(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world) error
		awake  int // the release that runs then; 0: asleep
	}{
		"deploy": {func(w *world) error {
			_, err := w.Deploy(w.t.Context(), alice, w.request("three"))
			return err
		}, 3},
		"failed deploy": {func(w *world) error {
			w.builder.fail = errors.New("no compiler")
			if _, err := w.Deploy(w.t.Context(), alice, w.request("three")); err == nil {
				return errors.New("it succeeded")
			}
			return nil
		}, 0},
		"env set": {func(w *world) error {
			_, err := w.SetEnv(w.t.Context(), alice, "blog", hop3.Env{"COLOUR": "blue"}, nil, w.out)
			return err
		}, 0},
		"scale":   {func(w *world) error { return w.Scale(w.t.Context(), alice, "blog", map[string]int{"worker": 2}, w.out) }, 0},
		"restart": {func(w *world) error { return w.RestartApp(w.t.Context(), alice, "blog", w.out) }, 3},
		"start":   {func(w *world) error { return w.StartApp(w.t.Context(), alice, "blog", w.out) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sleep(t.Context(), w.drowsy())
			w.sleeps()
			if err := c.change(w); err != nil {
				t.Fatal(err)
			}
			if c.awake == 0 {
				w.sleeps()
				live, err := w.Store.Release(t.Context(), "blog", w.app().Live)
				if err != nil {
					t.Fatal(err)
				}
				if kind := live.Kind; name == "scale" && kind != hop3.ReleaseScale || name == "env set" && kind != hop3.ReleaseEnv {
					t.Errorf("%s made a release of kind %s", name, kind)
				}
				if err := w.Wake(t.Context(), "blog"); err != nil {
					t.Fatal(err)
				}
				c.awake = w.app().Live
			}
			if w.serves(c.awake); w.app().Asleep {
				t.Error("awake, and the database says asleep")
			}
		})
	}
	t.Run("stop", func(t *testing.T) {
		w := newWorld(t)
		w.sleep(t.Context(), w.drowsy())
		if err := w.StopApp(t.Context(), alice, "blog", w.out); err != nil {
			t.Fatal(err)
		}
		if app := w.app(); app.Asleep || app.State != hop3.StateStopped || w.proxy.route("blog").Status != hop3.RouteStopped {
			t.Errorf("%+v, %+v", app, w.proxy.route("blog"))
		}
		if err := w.Wake(t.Context(), "blog"); err != nil {
			t.Fatal(err)
		}
		if running, _ := w.runtime.Releases(t.Context()); len(running) != 0 {
			t.Errorf("a request woke what a person stopped: %v", running)
		}
	})
}

// A build may take long: who visits meanwhile gets the release there is.
func TestABuildDoesNotKeepAnAppAsleep(t *testing.T) {
	w := newWorld(t)
	r := w.drowsy()
	w.sleep(t.Context(), r)
	unlock, err := w.lock(t.Context(), "blog") // as a deploy holds it
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := w.Wake(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	w.serves(r.Number)
}

// TestSleepAndWakeRace lets an app be woken, put to sleep and changed from all
// sides: in the end it is one or the other, and what runs agrees.
func TestSleepAndWakeRace(t *testing.T) {
	w := newWorld(t)
	w.drowsy()
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for range 25 {
				var err error
				switch n {
				case 0:
					if r, ok := w.running.known("blog"); ok {
						w.sleep(t.Context(), r)
					}
				case 1, 2:
					err = w.Wake(t.Context(), "blog")
				case 3:
					_, err = w.SetEnv(t.Context(), alice, "blog", hop3.Env{"TIME": time.Now().String()}, nil, w.out)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if app := w.app(); app.Asleep {
		w.sleeps()
	} else {
		w.serves(app.Live)
	}
}

// The process that serves HTTP may be of another type than web.
func TestEveryTypeThatServesHTTPFollowsTheLoad(t *testing.T) {
	for kind, want := range map[string]bool{"web": true, "wsgi": true, "php": true, "worker": false} {
		r := hop3.Release{
			Processes: []hop3.Process{{Type: kind, Count: 1}},
			Scaling:   map[string]hop3.Scaling{hop3.ProcessWeb: {Min: 1, Max: 2, SleepAfter: time.Minute}},
		}
		_, _, ok := follows(r)
		if sleeps := sleepAfter(r) > 0; sleeps != want || ok != want {
			t.Errorf("%s sleeps: %v, follows the load: %v, want %v", kind, sleeps, ok, want)
		}
	}
}
