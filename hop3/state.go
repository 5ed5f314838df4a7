package hop3

import (
	"slices"
	"strings"
)

// moves are the states that an app may go to from each state.
var moves = map[State][]State{
	StateStopped:  {StateStarting, StateFailed},
	StateStarting: {StateRunning, StateFailed},
	StateRunning:  {StateStopping, StateFailed},
	StateStopping: {StateStopped, StateFailed},
	StateFailed:   {StateStopped, StateStarting},
}

// Move changes the app's state, and returns a CodeConflict error where that is
// no legal move; the app is as it was then. With StateFailed why becomes the
// app's Error; every other state clears it. An app that is not running is not
// asleep either.
//
// What was decided otherwise may set the fields without asking: the commit of
// a release that is ready, a stop that a person insists on, and Reconcile.
func (a *App) Move(to State, why string) error {
	if a.State == to {
		return Errorf(CodeConflict, "App '%s' is already %s.", a.Name, strings.ToLower(to.String()))
	}
	if !slices.Contains(moves[a.State], to) {
		return Errorf(CodeConflict, "Cannot transition app '%s' from %s to %s.", a.Name, a.State, to)
	}
	a.SetState(to, why)
	return nil
}

// SetState is Move for who need not ask.
func (a *App) SetState(to State, why string) {
	a.State, a.Error = to, ""
	if to == StateFailed {
		a.Error = why
	}
	if to != StateRunning {
		a.Asleep = false
	}
}

// Awake reports whether the app should have instances.
func (a *App) Awake() bool { return a.State == StateRunning && !a.Asleep }
