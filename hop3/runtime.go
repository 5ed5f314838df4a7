package hop3

import (
	"context"
	"io"
	"time"
)

// Runtime runs releases. It is a Caddy module in the namespace hop3.runtimes,
// safe for concurrent use, and passes the suite hop3test.Runtime.
//
// Instances outlive the server: a Runtime writes down, on disk, what it needs
// to recognise them after a crash before they start, and adopts them.
type Runtime interface {
	// Name is the word of the server's configuration: "native", "uwsgi".
	Name() string
	// Start starts every instance of the launch beside whatever else runs and
	// returns once they are spawned, not ready. It is idempotent: an instance
	// of the same release that already runs, also one started by an earlier
	// server process, is adopted as it is, and only the missing ones are
	// started. When one cannot be spawned, those that this call started are
	// stopped again and the error is returned.
	Start(ctx context.Context, l Launch) ([]Instance, error)
	// Stop ends every instance of a release: SIGTERM to the process group,
	// then SIGKILL after grace to all that is left of it, also what left the
	// group. It returns when none is left; stopping what does not run is no
	// error. When ctx ends first, the grace is cut short, not the stop.
	Stop(ctx context.Context, id ReleaseID, grace time.Duration) error
	// Instances returns the instances of a release that should be running,
	// with what is true of them now, ordered by type and ordinal; none when
	// the release was not started.
	Instances(ctx context.Context, id ReleaseID) ([]Instance, error)
	// Releases returns the releases of which instances exist, also those that
	// an earlier server process left behind.
	Releases(ctx context.Context) ([]ReleaseID, error)
	// Run runs one command in the release's environment to its end and
	// returns its exit code.
	Run(ctx context.Context, l Launch, cmd OneOff) (exit int, err error)
	// Close lets go of the instances without stopping them: they go on until
	// the next Start adopts them. It ends the runtime's own goroutines.
	Close() error
}

// Launch is a release as a Runtime sees it.
type Launch struct {
	ID        ReleaseID
	Dir       string    // working directory: the release's source
	Env       Env       // complete, but for PORT and what names the instance
	Path      []string  // directories put before PATH
	Processes []Process // those with a Count above 0 run
	LogDir    string    // receives <type>.<ordinal>.log
}

// OneOff is one command run in a release's environment.
type OneOff struct {
	Args           []string  // argv
	Shell          string    // a command line of the developer instead, for /bin/sh -c
	Stdin          io.Reader // nil: empty
	Stdout, Stderr io.Writer
}
