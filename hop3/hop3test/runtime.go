package hop3test

import (
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

// OpenRuntime opens the runtime under test for a server whose home is given,
// with its state below home/run and its processes in box, which may be nil. It
// is called again on the same home after Close, as by the next server.
type OpenRuntime func(t testing.TB, home string, box *sandbox.Sandbox) hop3.Runtime

// Runtime checks the contract of hop3.Runtime with real processes, in the best
// sandbox that the test may make; what needs more says so and is skipped. The
// calling package's TestMain is RuntimeMain. Instances should be restarted
// within a second of their first end.
func Runtime(t *testing.T, open OpenRuntime) { runStories(t, open, openSandbox) }

// RuntimeWithoutSandbox is Runtime on a server that makes no sandbox.
func RuntimeWithoutSandbox(t *testing.T, open OpenRuntime) {
	runStories(t, open, func(testing.TB, string) *sandbox.Sandbox { return nil })
}

// Private

func runStories(t *testing.T, open OpenRuntime, box func(testing.TB, string) *sandbox.Sandbox) {
	for name, story := range map[string]func(*runtimeTest){
		"ServesOnItsUpstream":        servesOnItsUpstream,
		"RunsSeveralInstances":       runsSeveralInstances,
		"PassesTheEnvironment":       passesTheEnvironment,
		"RunsBackgroundProcesses":    runsBackgroundProcesses,
		"RunsShellCommands":          runsShellCommands,
		"WritesLogs":                 writesLogs,
		"RestartsWhatEnded":          restartsWhatEnded,
		"KeepsTheUpstream":           keepsTheUpstream,
		"AsksBeforeItKills":          asksBeforeItKills,
		"KillsTheStubborn":           killsTheStubborn,
		"KillsDaemons":               killsDaemons,
		"KillsWhatHides":             killsWhatHides,
		"RunsReleasesSideBySide":     runsReleasesSideBySide,
		"StartsOnlyOnce":             startsOnlyOnce,
		"UndoesAFailedStart":         undoesAFailedStart,
		"AdoptsWhatRuns":             adoptsWhatRuns,
		"RestartsWhatItAdopted":      restartsWhatItAdopted,
		"StartsWhatEndedMeanwhile":   startsWhatEndedMeanwhile,
		"StopsWhatAnotherStarted":    stopsWhatAnotherStarted,
		"StopsNothing":               stopsNothing,
		"Trims":                      trims,
		"RestartsTheSick":            restartsTheSick,
		"RestartsTheStubborn":        restartsTheStubborn,
		"StopsWhileItRestarts":       stopsWhileItRestarts,
		"RestartsAllThatWereKilled":  restartsAllThatWereKilled,
		"RunsOneOffs":                runsOneOffs,
		"EndsOneOffsWithTheirCaller": endsOneOffsWithTheirCaller,
		"RunsAtATerminal":            runsAtATerminal,
		"PassesOnWhatIsTyped":        passesOnWhatIsTyped,
		"EndsATerminal":              endsATerminal,
		"TellsOutOfMemory":           tellsOutOfMemory,
		"TellsAChildOutOfMemory":     tellsAChildOutOfMemory,
		"LimitsOneOffs":              limitsOneOffs,
		"LimitsProcesses":            limitsProcesses,
		"Isolates":                   isolates,
		"IsolatesOneOffs":            isolatesOneOffs,
		"FindsWhatTheAppMayRun":      findsWhatTheAppMayRun,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(newRuntimeTest(t, open, box))
		})
	}
}
