package platform

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestCron_OnlyRunningAppsRun(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * x\n")
	ctx := t.Context()
	w.turns("2026-03-04 05:07:00")
	w.begins("cron.1")
	// A stop ends what runs.
	if err := w.StopApp(ctx, alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	w.none()
	w.wantHistory("cron.1 05:07 v1 the app was stopped")
	w.turns("2026-03-04 05:08:00")
	w.none()
	if err := w.StartApp(ctx, alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	w.turns("2026-03-04 05:09:00")
	w.begins("cron.1")[0].exit <- 0
	w.none()
	for _, state := range []hop3.State{hop3.StateFailed, hop3.StateRunning} {
		runs := state == hop3.StateRunning
		_, err := w.Store.UpdateApp(ctx, "blog", func(a *hop3.App) error {
			a.SetState(state, "")
			a.Asleep = runs // sleeping apps run too, and sleep on
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		starts := w.runtime.starts
		w.turns(w.now().Add(time.Minute).Format(time.DateTime))
		if runs {
			w.begins("cron.1")[0].exit <- 0
		}
		w.none()
		if app := w.app(); app.Asleep != runs || w.runtime.starts != starts {
			t.Errorf("%s: the app was woken", state)
		}
	}
	// Destroying ends them too.
	w.turns(w.now().Add(time.Minute).Format(time.DateTime))
	w.begins("cron.1")
	if err := w.DestroyApp(ctx, alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	w.turns(w.now().Add(time.Minute).Format(time.DateTime))
	w.none()
	if _, err := os.Stat(w.appDir("blog")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the app's directory: %v", err)
	}
}

// TestCron_ADeployInBetween: the run goes on with the files of its release,
// and the next one is the new release's.
func TestCron_ADeployInBetween(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * old\n")
	w.turns("2026-03-04 05:07:00")
	old := w.begins("cron.1")[0]
	for range 4 { // more than are kept
		w.deploys("cron: * * * * * new\n")
	}
	// Of another old release the files go, once nothing of it runs any more.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := w.pruneLocked(t.Context(), "blog"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(w.releaseDir("blog", 2)); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the files of another old release are still there: nothing was pruned")
		}
	}
	if _, err := os.Stat(filepath.Join(old.launch.Dir, "version")); err != nil {
		t.Errorf("the files of a run under way: %v", err)
	}
	old.exit <- 0
	w.none()
	w.turns("2026-03-04 05:08:00")
	r := w.begins("cron.1")[0]
	if r.cmd.Shell != "new" || r.launch.ID.Number != 5 {
		t.Errorf("the next run is %+v of %v", r.cmd, r.launch.ID)
	}
	r.exit <- 0
	w.none()
	if err := w.pruneLocked(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old.launch.Dir); err == nil {
		t.Error("the files are still there after the run")
	}
}

func TestCron_TheServerEnds(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * x\n")
	w.turns("2026-03-04 05:07:00")
	w.begins("cron.1")
	if err := w.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantHistory("cron.1 05:07 v1 the server ended")
	if _, err := w.RunCron(t.Context(), alice, "blog", "cron.1", io.Discard); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("a run during the end: %v", err)
	}
	// A crash: nobody has written the end down.
	if _, err := w.Store.NewCronRun(t.Context(), hop3.CronRun{App: "blog", Entry: "cron.1", Release: 1, StartedAt: w.now()}); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	w.at("2026-03-04 05:59:00") // what was due meanwhile is not made up for
	w.beginCron()
	w.wantHistory("cron.1 asked v1 the server ended", "cron.1 05:07 v1 the server ended")
}
