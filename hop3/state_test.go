package hop3

import (
	"testing"

	"pgregory.net/rapid"
)

// TestMovesAreThoseOfTheTable compares every pair of states with the table of
// the documentation, written another way.
func TestMovesAreThoseOfTheTable(t *testing.T) {
	legal := map[string]bool{
		"STOPPED STARTING": true, "STOPPED FAILED": true,
		"STARTING RUNNING": true, "STARTING FAILED": true,
		"RUNNING STOPPING": true, "RUNNING FAILED": true,
		"STOPPING STOPPED": true, "STOPPING FAILED": true,
		"FAILED STOPPED": true, "FAILED STARTING": true,
	}
	for from := StateStopped; from <= StateFailed; from++ {
		for to := StateStopped; to <= StateFailed; to++ {
			app := App{Name: "blog", State: from}
			err := app.Move(to, "why")
			if move := from.String() + " " + to.String(); legal[move] != (err == nil) {
				t.Errorf("%s: %v", move, err)
			}
			if err != nil && (CodeOf(err) != CodeConflict || app.State != from) {
				t.Errorf("a refused move left %s, and is %v", app.State, err)
			}
		}
	}
}

func TestRefusedMovesSayWhy(t *testing.T) {
	for _, c := range []struct {
		from, to State
		want     string
	}{
		{StateRunning, StateRunning, "App 'blog' is already running."},
		{StateStopped, StateStopped, "App 'blog' is already stopped."},
		{StateStopped, StateRunning, "Cannot transition app 'blog' from STOPPED to RUNNING."},
		{StateRunning, StateStarting, "Cannot transition app 'blog' from RUNNING to STARTING."},
	} {
		app := App{Name: "blog", State: c.from}
		if err := app.Move(c.to, ""); err == nil || err.Error() != c.want {
			t.Errorf("%s to %s: %v, want %q", c.from, c.to, err, c.want)
		}
	}
}

// TestAnAppIsNeverInAnImpossibleState moves an app at random: it has an error
// exactly while it has failed, and sleeps only while it runs.
func TestAnAppIsNeverInAnImpossibleState(t *testing.T) {
	states := rapid.SampledFrom([]State{StateStopped, StateStarting, StateRunning, StateStopping, StateFailed})
	rapid.Check(t, func(t *rapid.T) {
		app := App{Name: "blog", State: StateStopped}
		t.Repeat(map[string]func(*rapid.T){
			"move":   func(t *rapid.T) { _ = app.Move(states.Draw(t, "to"), "no database") },
			"insist": func(t *rapid.T) { app.SetState(states.Draw(t, "to"), "no database") },
			"sleep": func(t *rapid.T) {
				if app.State != StateRunning {
					t.Skip("not running")
				}
				app.Asleep = true
			},
			"": func(t *rapid.T) {
				if (app.Error != "") != (app.State == StateFailed) {
					t.Fatalf("%s with the error %q", app.State, app.Error)
				}
				if app.Asleep && app.State != StateRunning {
					t.Fatalf("asleep while %s", app.State)
				}
			},
		})
	})
}
