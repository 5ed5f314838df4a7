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
	// Trim ends the instances whose ordinal is above the count of their type,
	// as Stop does, and leaves the others alone. A type that counts does not
	// have counts as 0. Start with larger counts is the other direction.
	Trim(ctx context.Context, id ReleaseID, counts map[string]int, grace time.Duration) error
	// Restart ends one instance that runs but does not work, and starts it
	// again after the backoff of one that ended by itself; why becomes its
	// LastExit. It returns when the process is gone. Restarting what does not
	// run is no error.
	Restart(ctx context.Context, id ReleaseID, processType string, ordinal int, why string, grace time.Duration) error
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
	// Limits caps all instances of the release together.
	Limits Limits
	// AppDir is the app's own directory: of the server's home its processes
	// see only this, read-only, and what Writable and ReadOnly name.
	AppDir string
	// Writable are directories that belong to the app: made, given to its
	// user and mounted writable.
	Writable []string
	ReadOnly []string // other directories its processes may read
	// Container runs the processes in containers: of Env, Path and the
	// directories only Env counts. A process without a command is the image's
	// own. Nil for processes of the host.
	Container *Container
	Mounts    []Mount // of the containers
	// Volumes are mounted below Dir, at their Target, where a directory is:
	// those in memory and those of the host. Without isolation, or a host's
	// directory that the server does not let apps have, nothing starts.
	Volumes []Volume
}

// OneOff is one command run in a release's environment.
type OneOff struct {
	Args           []string  // argv
	Shell          string    // a command line of the developer instead, for /bin/sh -c
	Stdin          io.Reader // nil: empty
	Stdout, Stderr io.Writer // with a Terminal everything goes to Stdout
	// Terminal gives the command a terminal of its own; nil for none.
	Terminal *Terminal
	// Name, when set, names the run in the environment (HOP3_PROCESS)
	// instead of "run": "cron.backup".
	Name string
}

// Terminal is the terminal of an interactive command.
type Terminal struct {
	Type string // $TERM: "xterm-256color"
	Size WindowSize
	// Resizes tells of later sizes until it is closed; nil for none.
	Resizes <-chan WindowSize
}

// WindowSize is the size of a terminal in characters.
type WindowSize struct{ Rows, Columns uint16 }
