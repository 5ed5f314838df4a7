package hop3test

import (
	"testing"

	"github.com/abilian/hop3/hop3"
)

// OpenRuntime opens the runtime under test on a directory for its state. It is
// called again on the same directory after Close, as by the next server.
type OpenRuntime func(t testing.TB, dir string) hop3.Runtime

// Runtime checks the contract of hop3.Runtime with real processes. The calling
// package's TestMain is RuntimeMain. Instances should be restarted within a
// second of their first end.
func Runtime(t *testing.T, open OpenRuntime) {
	for name, test := range map[string]func(*runtimeTest){
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
		"RunsReleasesSideBySide":     runsReleasesSideBySide,
		"StartsOnlyOnce":             startsOnlyOnce,
		"UndoesAFailedStart":         undoesAFailedStart,
		"AdoptsWhatRuns":             adoptsWhatRuns,
		"RestartsWhatItAdopted":      restartsWhatItAdopted,
		"StartsWhatEndedMeanwhile":   startsWhatEndedMeanwhile,
		"StopsWhatAnotherStarted":    stopsWhatAnotherStarted,
		"StopsNothing":               stopsNothing,
		"RunsOneOffs":                runsOneOffs,
		"EndsOneOffsWithTheirCaller": endsOneOffsWithTheirCaller,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newRuntimeTest(t, open))
		})
	}
}
