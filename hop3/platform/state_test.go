package platform

import (
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestAStartThatFailsAndTheWayBack(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	if err := w.StartApp(t.Context(), alice, "blog", w.out); err == nil || err.Error() != "App 'blog' is already running." {
		t.Errorf("starting what runs: %v", err)
	}
	if err := w.StopApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "web.1 was not ready")
	if err := w.StartApp(t.Context(), alice, "blog", w.out); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Fatal(err)
	}
	if app := w.app(); app.State != hop3.StateFailed || app.Error != "web.1 was not ready" {
		t.Errorf("after a start that failed: %s, %q", app.State, app.Error)
	}
	if err := w.repair(t.Context()); err != nil || w.app().State != hop3.StateFailed {
		t.Errorf("the repair started what had failed: %v", err)
	}
	w.prober.fail = nil
	if err := w.StartApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	if w.serves(1); w.app().Error != "" {
		t.Errorf("the error stays: %q", w.app().Error)
	}
}

// TestRepair breaks one thing at a time.
func TestRepair(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(*world)
		state  hop3.State
	}{
		"an instance is missing": {func(w *world) {
			if err := w.runtime.Stop(w.t.Context(), hop3.ReleaseID{App: "blog", Number: 1}, 0); err != nil {
				w.t.Fatal(err)
			}
		}, hop3.StateRunning},
		"a release nobody wants runs": {func(w *world) {
			if _, err := w.runtime.Start(w.t.Context(), hop3.Launch{ID: hop3.ReleaseID{App: "blog", Number: 7}}); err != nil {
				w.t.Fatal(err)
			}
		}, hop3.StateRunning},
		"an app that is gone runs": {func(w *world) {
			if _, err := w.runtime.Start(w.t.Context(), hop3.Launch{ID: hop3.ReleaseID{App: "gone", Number: 1}}); err != nil {
				w.t.Fatal(err)
			}
		}, hop3.StateRunning},
		"a start was left":                {func(w *world) { w.state(hop3.StateStarting) }, hop3.StateRunning},
		"a stop was left":                 {func(w *world) { w.state(hop3.StateStopping) }, hop3.StateStopped},
		"a stopped app has an instance":   {func(w *world) { w.state(hop3.StateStopped) }, hop3.StateStopped},
		"an app that sleeps has instance": {func(w *world) { w.asleep() }, hop3.StateRunning},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deployed("one")
			c.breaks(w)
			unlock, err := w.lock(t.Context(), "blog")
			if err != nil {
				t.Fatal(err)
			}
			before, _ := w.runtime.Releases(t.Context())
			if err := w.repair(t.Context()); err != nil {
				t.Error(err)
			}
			if after, _ := w.runtime.Releases(t.Context()); len(after) != len(before) && name != "an app that is gone runs" {
				t.Error("an app that is being changed was touched")
			}
			unlock()
			if err := w.repair(t.Context()); err != nil {
				t.Error(err)
			}
			if app := w.app(); app.State != c.state {
				t.Errorf("the app is %s, want %s", app.State, c.state)
			}
			if app := w.app(); app.Awake() {
				w.serves(1)
			} else if left, _ := w.runtime.Releases(t.Context()); len(left) != 0 {
				t.Errorf("%v run", left)
			}
		})
	}
}

// state writes what a crash could have left.
func (w *world) state(s hop3.State) {
	w.t.Helper()
	if err := w.setState(w.t.Context(), "blog", s, ""); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) asleep() {
	w.t.Helper()
	if _, err := w.Store.UpdateApp(w.t.Context(), "blog", func(a *hop3.App) error { a.Asleep = true; return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// A release whose requests are not done yet is wanted.
func TestRepairLeavesADrainAlone(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	old := hop3.ReleaseID{App: "blog", Number: 9}
	if _, err := w.runtime.Start(t.Context(), hop3.Launch{ID: old}); err != nil {
		t.Fatal(err)
	}
	done := w.running.drains(old)
	if err := w.repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := w.runtime.Releases(t.Context()); len(left) != 2 {
		t.Errorf("%v run", left)
	}
	done()
	if err := w.repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.serves(1)
}

func TestWhatCannotBeStartedBesideOthersDoesNotFailThem(t *testing.T) {
	w := newWorld(t)
	w.checked(2)
	w.runtime.change = func(i *hop3.Instance) {
		if i.Ordinal == 2 {
			i.State = hop3.InstanceStopped
		}
	}
	w.runtime.fail = hop3.Errorf(hop3.CodeUnavailable, "no port is free")
	if err := w.repair(t.Context()); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if app := w.app(); app.State != hop3.StateRunning {
		t.Errorf("the app is %s", app.State)
	}
	w.upstreams(2)
}
