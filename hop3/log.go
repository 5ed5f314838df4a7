package hop3

import (
	"context"
	"time"
)

// LogQuery chooses lines of an app's log files.
type LogQuery struct {
	// Lines is how many are given of those that the rest of the query
	// chooses: the last ones. 0 or less is none.
	Lines int
	// Since leaves out what was written before; the zero time nothing.
	Since time.Time
	// Grep is a text that a line contains, in whichever case; "" any.
	Grep string
	// Type and Ordinal name the instances; "" and 0 mean all of them.
	Type    string
	Ordinal int
	// Build asks for the log of the last build instead of the instances'.
	Build bool
	// Access asks for the app's access log instead.
	Access bool
	// Follow goes on with new lines.
	Follow bool
	// Alive is asked now and then while following; its error ends that. It
	// may be nil.
	Alive func(ctx context.Context) error
}

// LogEntry is a line of a log file.
type LogEntry struct {
	Instance string // "web.1"; "" for the build's and for requests
	// Time is when the line was written, give or take 50 ms; the zero time
	// when nobody knows.
	Time time.Time
	Text string // as the app wrote it, without the line's end, cut when it is very long
}
