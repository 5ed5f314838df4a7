package hop3

import "time"

// Limits caps what the instances of one release may use together; a one-off
// command has the same limits of its own. The zero value of a field sets no
// limit.
type Limits struct {
	Memory    int64   // bytes, swap included
	CPU       float64 // cores
	Processes int     // processes and threads
}

// IsZero reports whether nothing is limited.
func (l Limits) IsZero() bool { return l == Limits{} }

// MaxInstances bounds the instances of one process type.
const MaxInstances = 100

// Scaling is how the number of instances of a process type follows its load:
// [scaling.<type>] of hop3.toml.
type Scaling struct {
	// Min and Max bound the number of instances. With Max 0 the number is
	// the process's Count and does not follow the load.
	Min, Max int
	// TargetConcurrency is how many requests an instance should have under
	// way; 0 means the default.
	TargetConcurrency int
	// SleepAfter is after how long without a request the app is put to
	// sleep; 0 means never.
	SleepAfter time.Duration
}

// Usage is what processes use.
type Usage struct {
	Memory int64         // bytes, of what files they read and wrote, too
	CPU    time.Duration // used so far; less than before when some have gone
}

// UsageMeter is a Runtime that can tell what its instances use.
type UsageMeter interface {
	// Usage returns what an instance uses; with "" in place of its type all of
	// the release, and without a release's number all of the app, one-off
	// commands too. It is false when that is not known.
	Usage(id ReleaseID, processType string, ordinal int) (Usage, bool)
}
