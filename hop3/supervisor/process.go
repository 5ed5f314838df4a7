package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/sandbox"
)

// process is a running process that is watched: a child of this server, or one
// that an earlier server left behind.
type process struct {
	pid   int
	start uint64
	// pidfd becomes readable when the process ends. Waiting for it costs a
	// parked goroutine and no thread. It is nil on kernels without pidfds.
	pidfd *os.File
}

// startProcess starts argv in a session of its own. Its stdin is empty, its
// stdout and stderr are log. A nil plan starts it where the server is.
func startProcess(argv []string, dir string, env []string, log *os.File, plan *sandbox.Plan) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pidfd := -1
	pid, err := plan.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir:   dir,
		Env:   env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		return nil, err
	}
	// Until it is reaped a child can be found, even when it has ended.
	found, ok := procfs.Find(pid)
	if !ok {
		return nil, fmt.Errorf("process %d cannot be found under /proc", pid)
	}
	return &process{pid: pid, start: found.Start, pidfd: pollable(pidfd)}, nil
}

// openProcess returns a process that runs already, and false when it does not.
func openProcess(pid int, start uint64) (*process, bool) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		pidfd = -1
	}
	p := &process{pid: pid, start: start, pidfd: pollable(pidfd)}
	// Only now the pidfd can be known to be that of the right process.
	if !p.running() {
		p.release()
		return nil, false
	}
	return p, true
}

// wait returns when the process has ended, or with an error when ctx has.
func (p *process) wait(ctx context.Context) error {
	if p.pidfd == nil {
		return p.poll(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.pidfd.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := p.pidfd.SyscallConn()
	if err == nil {
		err = conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return p.poll(ctx)
}

// release lets go of the process without ending it.
func (p *process) release() {
	if p.pidfd != nil {
		_ = p.pidfd.Close()
	}
}

// reap says how the process ended and frees its entry in the process table.
// Only its parent can know, so of adopted processes it does not.
func reap(pid int) string {
	var status unix.WaitStatus
	for {
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || got != pid:
			return "unknown"
		case status.Signaled():
			return "signal: " + status.Signal().String()
		}
		return fmt.Sprintf("exit status %d", status.ExitStatus())
	}
}

// Private

func (p *process) running() bool {
	found, ok := procfs.Find(p.pid)
	return ok && !found.Dead && found.Start == p.start
}

// poll is wait for kernels without pidfds.
func (p *process) poll(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for p.running() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// pollable hands a pidfd to the Go runtime's poller, which takes descriptors
// that do not block.
func pollable(pidfd int) *os.File {
	if pidfd < 0 {
		return nil
	}
	if err := unix.SetNonblock(pidfd, true); err != nil {
		_ = unix.Close(pidfd)
		return nil
	}
	return os.NewFile(uintptr(pidfd), "pidfd")
}

func readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
