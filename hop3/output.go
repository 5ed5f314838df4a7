package hop3

import "time"

// LogLine is one line of what a deploy, or another long verb, tells the person
// who asked for it.
type LogLine struct {
	Text  string
	Level int    // 0 always shown, 1 normal, 2 verbose, 3 debug
	Color string // "", green, red, yellow, blue, cyan or magenta
	Time  time.Time
	Once  bool // a secret, shown to who asked and kept nowhere
}

// Output receives the progress of a long verb as it happens. Implementations
// are safe for concurrent use and never block for long: a slow reader loses
// time, not the deploy.
type Output interface {
	Log(line LogLine)
}

// OutputFunc is a function as an Output.
type OutputFunc func(LogLine)

// Log calls f.
func (f OutputFunc) Log(line LogLine) { f(line) }

// Progress is how far a step of a long verb is, in bytes.
type Progress struct {
	What  string // is being done, as "Copying data.tar.gz"
	Done  int64
	Total int64 // 0 when nobody knows
}

// ProgressOutput is an Output that wants to know how far a step is, too. Only
// the last that it was told counts, and the next line ends it.
type ProgressOutput interface {
	Output
	Progress(p Progress)
}

// Discard is an Output that drops everything.
var Discard Output = OutputFunc(func(LogLine) {})
