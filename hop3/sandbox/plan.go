package sandbox

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3/cgroup"
)

// Plan is a place made ready: the group exists, the directories are there and
// belong to the app's user. It can be written down as JSON and used by another
// process of the same rights, for as long as the machine runs.
type Plan struct {
	UID, GID int // 0 when there is no user of its own
	Group    string
	Place    *cgroup.Place `json:",omitempty"` // nil: no group
	View     *View         `json:",omitempty"` // nil: no isolation
}

// View is what processes see of the server's home. Its paths are absolute and
// below Home.
type View struct {
	Home     string
	AppDir   string
	Tmp      string // seen as /tmp and /var/tmp
	Writable []string
	ReadOnly []string
	Passwd   string // seen as /etc/passwd
	Group    string // seen as /etc/group
	// Mounts are seen in AppDir, where there are directories for them.
	Mounts []Mount `json:",omitempty"`

	one bool // see flat
}

func (p *Plan) isZero() bool { return p == nil || p.Place == nil && p.View == nil }

// Start starts cmd in the place. cmd.SysProcAttr may be set; credentials and
// group are added to it. Its Pdeathsig cannot be used: the thread that starts
// it ends at once. Isolated, cmd.Dir is "/" unless set. A nil Plan starts it
// as it is.
func (p *Plan) Start(cmd *exec.Cmd) error {
	if p.isZero() {
		return cmd.Start()
	}
	return p.fork(cmd.SysProcAttr, func(attr *syscall.SysProcAttr) error {
		if cmd.Dir == "" && p.View != nil {
			cmd.Dir = "/"
		}
		cmd.SysProcAttr = attr
		return cmd.Start()
	})
}

// ForkExec is Start by syscall.ForkExec. A nil Plan forks as it is.
func (p *Plan) ForkExec(argv0 string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	if p.isZero() {
		return syscall.ForkExec(argv0, argv, attr)
	}
	own := syscall.ProcAttr{}
	if attr != nil {
		own = *attr
	}
	if own.Dir == "" && p.View != nil {
		own.Dir = "/"
	}
	err = p.fork(own.Sys, func(sys *syscall.SysProcAttr) error {
		own.Sys = sys
		pid, err = syscall.ForkExec(argv0, argv, &own)
		return err
	})
	return pid, err
}

// fork calls start on a thread that has taken on the place, as far as the
// child does not do so itself: that is what the returned attributes are for.
func (p *Plan) fork(given *syscall.SysProcAttr, start func(*syscall.SysProcAttr) error) error {
	attr := syscall.SysProcAttr{}
	if given != nil {
		attr = *given
	}
	if attr.Pdeathsig != 0 {
		return errors.New("a process in a sandbox cannot have a Pdeathsig")
	}
	return onThread(func() error {
		if p.Place != nil && p.Place.Unified {
			dir, err := p.Place.Open()
			if err != nil {
				return fmt.Errorf("opening the control group: %w", err)
			}
			defer dir.Close()
			attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
		} else if p.Place != nil {
			if err := p.Place.Join(); err != nil {
				return err
			}
		}
		if p.View != nil {
			if err := p.View.enter(); err != nil {
				return err
			}
			if err := dropPrivileges(); err != nil {
				return err
			}
			attr.AmbientCaps = nil
			attr.Credential = &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.GID), Groups: []uint32{}}
		}
		return start(&attr)
	})
}

// Exec replaces the calling process by the program argv[0] in the place; it
// returns only when that failed, and the process must end then. Isolated, the
// working directory is "/".
func (p *Plan) Exec(argv, env []string) error {
	return p.ExecIn("", argv, env)
}

// ExecIn is Exec with a working directory, which a nil Plan takes too.
func (p *Plan) ExecIn(dir string, argv, env []string) error {
	if len(argv) == 0 {
		return errors.New("there is no command to run")
	}
	return onThread(func() error {
		if p != nil && p.Place != nil {
			if err := p.Place.Join(); err != nil {
				return err
			}
		}
		if p != nil && p.View != nil {
			if dir == "" {
				dir = "/"
			}
			if err := p.View.enter(); err != nil {
				return err
			}
			if err := dropPrivileges(); err != nil {
				return err
			}
			if err := becomeUser(p.UID, p.GID); err != nil {
				return err
			}
		}
		if dir != "" {
			if err := unix.Chdir(dir); err != nil {
				return fmt.Errorf("entering %s: %w", dir, err)
			}
		}
		return fmt.Errorf("running %s: %w", argv[0], syscall.Exec(argv[0], argv, env))
	})
}

// As calls f with the file rights of the place's user, who sees of the home
// only the app's directory: nothing that the app has laid out there, as
// symbolic links, leads f to what its user could not reach. Goroutines that f
// starts have the server's view and rights, as have the processes it starts
// other than by a Plan. A nil Plan calls it as it is.
func (p *Plan) As(f func() error) error {
	if p == nil || p.View == nil {
		return f()
	}
	return onThread(func() error {
		if err := p.View.flat().enter(); err != nil {
			return err
		}
		if err := fileRights(p.UID, p.GID); err != nil {
			return err
		}
		return f()
	})
}
