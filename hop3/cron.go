package hop3

import "time"

// CronEntry is a command that an app runs at certain times.
type CronEntry struct {
	// Name names the entry within its app: "cron.1" for the first line
	// without a name of its own.
	Name string
	// Schedule is five fields, or a word such as @daily. See hop3/cron.
	Schedule string
	Command  string // a shell command of the app's developer
	// TimeZone is an IANA name; "" means the app's variable TZ, else UTC.
	TimeZone string
	// Timeout is after how long a run is ended; 0 means the default.
	Timeout time.Duration
	// Overlap lets a run begin while the one before still runs. Otherwise
	// that turn is skipped, and the history says so.
	Overlap bool
}

// CronRun is one run of a CronEntry.
type CronRun struct {
	ID      int64
	App     string
	Entry   string // CronEntry.Name
	Release int
	// Due is when the schedule said; zero for a run asked for by a person.
	Due       time.Time
	StartedAt time.Time
	EndedAt   time.Time // zero while it runs
	Exit      int       // meaningful once ended, when Error is empty
	// Error says why there is no exit code: "timed out after 1h", "skipped:
	// the run before still runs", "the server ended".
	Error   string
	LogFile string // what it wrote, a name in the app's log/cron; "" when it did not start
}
