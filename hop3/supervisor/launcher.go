package supervisor

import (
	"context"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

// Launcher starts the main processes of instances by way of another program,
// which is then their parent and may start them again while no server runs.
// The supervisor watches, adopts and ends them as it does its own children.
type Launcher interface {
	// Socket returns the path of the unix socket that the child will answer
	// HTTP on, "" when it is to use $PORT.
	Socket(c Child) string
	// Launch has the child started, with c.Env, c.Plan and its output going
	// to c.LogFile, and returns its pid. All its processes carry the variable
	// HOP3_INSTANCE of c.Env.
	Launch(ctx context.Context, c Child) (pid int, err error)
	// Find returns the pid of the child's current run, which an earlier server
	// asked for or the other program began by itself; false when it is not
	// known. The process may have ended.
	Find(c Child) (pid int, ok bool)
	// Forget makes sure that nobody else starts the child again. It does not
	// end it. Forgetting what is not there is no error.
	Forget(ctx context.Context, c Child) error
	// Exit says how the last run of the child ended: "exit status 1",
	// "signal: killed", "unknown". It is called once the process is gone and
	// before Forget, and may wait a moment for the other program to notice.
	Exit(c Child) string
}

// Child is an instance as a Launcher sees it. Find, Forget and Exit are also called
// for instances that an earlier server started: then Launch, Process.Command,
// Env and Plan are empty.
type Child struct {
	ID      hop3.ReleaseID
	Process hop3.Process
	Ordinal int
	Marker  string       // the value of HOP3_INSTANCE
	Launch  *hop3.Launch // of the release
	Argv    []string     // the command, as the supervisor would start it
	Env     []string     // complete
	Plan    *sandbox.Plan
	LogFile string
	Port    int    // 0 when it serves no HTTP or has a Socket
	Socket  string // "" when it has a Port
	// Container is the name of the container it runs in: then it is none of
	// the Launcher's.
	Container string
}
