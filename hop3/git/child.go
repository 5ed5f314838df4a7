package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// The variables by which Sweep recognises children: the home, and which run of
// the server.
const (
	envHome     = "HOP3_GIT"
	envInstance = "HOP3_GIT_SERVER"
)

// killGrace is how long git may take to remove its temporary files when it is
// told to stop.
const killGrace = 3 * time.Second

// child is one run of git.
type child struct {
	r              *Repositories
	args           []string
	env            []string // added to the few variables every child gets
	dir            string   // working directory
	stdin          io.Reader
	stdout, stderr io.Writer // nil: discarded, and kept for the error
}

// git returns a run of git in a repository, or outside of any when dir is "".
func (r *Repositories) git(dir string, args ...string) *child {
	c := &child{r: r, dir: "/"}
	if dir != "" {
		c.dir = dir
		c.env = []string{"GIT_DIR=" + dir}
	}
	c.args = append(r.limits(), args...)
	return c
}

// limits are the settings that keep git's own appetite below the memory limit,
// so that large but honest repositories fit and only bombs hit the wall. Blobs
// above bigFileThreshold are streamed, not loaded.
func (r *Repositories) limits() []string {
	return configArgs(
		"core.bigFileThreshold=32m",
		"core.deltaBaseCacheLimit=32m",
		"core.packedGitWindowSize=32m",
		"core.packedGitLimit=256m",
		"pack.threads=1",
		"pack.windowMemory=64m",
		"pack.deltaCacheSize=32m",
		"core.fsync=committed,reference",
		"core.fsyncMethod=batch",
		"core.symlinks=true",
		"gc.auto=0",
		"safe.directory=*",
	)
}

func configArgs(settings ...string) []string {
	args := make([]string, 0, 2*len(settings))
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// environ is all a child knows: nothing of the server's own environment, which
// holds secrets, and no configuration file but the repository's.
func (c *child) environ() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/nonexistent",
		"XDG_CONFIG_HOME=/nonexistent",
		"LC_ALL=C.UTF-8",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		envHome + "=" + c.r.home,
		envInstance + "=" + c.r.instance,
	}, c.env...)
}

// run runs git to its end. When ctx is done the whole process group is told to
// stop, then killed. Whatever of the group outlives git itself is killed too.
//
// Stdin is read by a goroutine that may outlive run until the reader returns;
// see Repositories.Close.
func (c *child) run(ctx context.Context) error {
	var said excerpt
	cmd := exec.Command(c.r.cfg.Binary, c.args...)
	cmd.Dir, cmd.Env = c.dir, c.environ()
	cmd.Stdout = &drain{w: c.stdout}
	cmd.Stderr = &drain{w: c.stderr}
	if c.stderr == nil {
		cmd.Stderr = &said
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stdin io.WriteCloser
	if c.stdin != nil {
		pipe, err := cmd.StdinPipe()
		if err != nil {
			return fmt.Errorf("starting git: %w", err)
		}
		widen(pipe)
		stdin = pipe
	}
	if err := cmd.Start(); err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "git cannot be started on this server: %w", err)
	}
	if err := limitMemory(cmd.Process.Pid, c.r.cfg.MemoryBytes); err != nil {
		killGroup(cmd.Process.Pid, unix.SIGKILL)
		return errors.Join(fmt.Errorf("limiting git's memory: %w", err), cmd.Wait())
	}
	// Only now does git get to see anything of the client's, so nothing it
	// does for the client, and no child it forks, escapes the limit.
	if stdin != nil {
		c.r.readers.Add(1)
		go func() {
			defer c.r.readers.Done()
			defer c.r.recovered("copying to git")
			defer stdin.Close()
			feed(stdin, c.stdin)
		}()
	}
	superviseGroup(ctx, cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		return c.failure(ctx, err, said.String())
	}
	return ctx.Err()
}

// pipeSize is how much of a push may lie between the server and git. With the
// kernel's 64 KB the two, and the client behind them, wait for each other at
// every turn.
const pipeSize = 1 << 20

// widen enlarges a pipe, as far as the kernel lets us.
func widen(pipe io.Writer) {
	if f, ok := pipe.(interface {
		SyscallConn() (syscall.RawConn, error)
	}); ok {
		if conn, err := f.SyscallConn(); err == nil {
			_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
		}
	}
}

// feed copies in large pieces: an SSH client is told of each that is taken.
func feed(pipe io.Writer, from io.Reader) {
	// Without its other methods, by which io.Copy would use a small buffer.
	_, _ = io.CopyBuffer(struct{ io.Writer }{pipe}, struct{ io.Reader }{from}, make([]byte, pipeSize/4))
}

const (
	// diskFull is how a C program, in the locale C, says ENOSPC.
	diskFull = "No space left on device"
	// cannotWrite is how git's checkout says it of a file that it could open.
	cannotWrite = "unable to write file"
)

func (c *child) failure(ctx context.Context, err error, said string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("git was stopped: %w", context.Cause(ctx))
	}
	if strings.Contains(said, diskFull) || strings.Contains(said, cannotWrite) {
		err = fmt.Errorf("%w: %w", unix.ENOSPC, err)
	}
	if said = strings.TrimSpace(said); said != "" {
		return fmt.Errorf("git: %w: %s", err, said)
	}
	return fmt.Errorf("git: %w", err)
}

// limitMemory bounds what a process, and those it forks, may allocate. It is
// RLIMIT_DATA and not RLIMIT_AS: git maps whole packs, which costs nothing. The
// hard limit stays, so that the hook can free itself of it; see hookScript.
func limitMemory(pid int, bytes uint64) error {
	var limit unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &limit)
	if err == nil {
		limit.Cur = min(bytes, limit.Max)
		err = unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil // it ended already
	}
	return err
}

// superviseGroup waits until the leader of a process group has ended, without
// reaping it, and then kills what is left of the group: while the leader is not
// reaped its number cannot have become another group's.
func superviseGroup(ctx context.Context, pid int) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		killGroup(pid, unix.SIGTERM)
		timer := time.NewTimer(killGrace)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			killGroup(pid, unix.SIGKILL)
			<-ended
		}
	}
	killGroup(pid, unix.SIGKILL)
}

func killGroup(pgid int, sig unix.Signal) {
	_ = unix.Kill(-pgid, sig)
}

// drain passes output on until the other side is gone, and then swallows it: a
// git whose pipe breaks dies at once, even between a deploy that succeeded and
// the reference that must tell of it.
type drain struct {
	w    io.Writer
	gone bool
}

func (d *drain) Write(p []byte) (int, error) {
	if d.w != nil && !d.gone {
		if _, err := d.w.Write(p); err != nil {
			d.gone = true
		}
	}
	return len(p), nil
}

// excerpt keeps the beginning of what git says for an error message.
type excerpt struct{ bytes.Buffer }

func (t *excerpt) Write(p []byte) (int, error) {
	if room := 2048 - t.Len(); room > 0 {
		t.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
