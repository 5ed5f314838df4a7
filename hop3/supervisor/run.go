package supervisor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
)

// outputGrace is how long a one-off command's last output may take to be read
// once it has ended.
const outputGrace = 10 * time.Second

// Run implements hop3.Runtime. A command ended by a signal has the exit code
// that shells give it, 128 and the signal's number. What it leaves running is
// killed, and so is the command when ctx ends. A read of cmd.Stdin that waits
// when the command ends is left to whoever closes that reader.
func (s *Supervisor) Run(ctx context.Context, launch hop3.Launch, oneOff hop3.OneOff) (int, error) {
	if err := validate(launch); err != nil {
		return 0, err
	}
	// No type's name begins with '%': a one-off is no instance, and Stop
	// leaves it alone.
	marker := s.states.marker(launch.ID, "%run-"+rand.Text(), 0)
	cmd, err := command(&launch, oneOff, marker)
	if err != nil {
		return 0, err
	}
	stdin, err := pipeStdin(cmd, oneOff.Stdin)
	if err != nil {
		return 0, fmt.Errorf("opening the command's stdin: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, hop3.Errorf(hop3.CodeDeploy, "%q cannot be started: %w", cmd.Args[0], err)
	}
	stdin()
	waitChild(ctx, cmd.Process.Pid)
	// Until cmd.Wait the group's name cannot pass to another. What is left
	// would keep the output open.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	left := familyOf(s.states.boot, record{Marker: marker}).kill()
	err = cmd.Wait()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("running %q: %w", cmd.Args[0], context.Cause(ctx))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, fmt.Errorf("running %q: %w", cmd.Args[0], err)
	}
	return exitCode(cmd.ProcessState), left
}

// Private

func command(l *hop3.Launch, oneOff hop3.OneOff, marker string) (*exec.Cmd, error) {
	argv := oneOff.Args
	if oneOff.Shell != "" {
		argv = []string{"/bin/sh", "-c", oneOff.Shell}
	}
	if len(argv) == 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "there is no command to run")
	}
	path := searchPath(l)
	program, err := lookPath(argv[0], l.Dir, path)
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{
		Path:        program,
		Args:        argv,
		Dir:         l.Dir,
		Env:         l.Env.Merge(hop3.Env{"PATH": path, markerVariable: marker}).Environ(),
		Stdout:      oneOff.Stdout,
		Stderr:      oneOff.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		WaitDelay:   outputGrace,
	}, nil
}

// pipeStdin gives the command a pipe; start begins to copy stdin into it. The
// command's end does not wait for stdin's, which may be a person who types
// nothing more.
func pipeStdin(cmd *exec.Cmd, stdin io.Reader) (start func(), err error) {
	if stdin == nil {
		return func() {}, nil
	}
	if f, ok := stdin.(*os.File); ok {
		cmd.Stdin = f
		return func() {}, nil
	}
	w, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return func() {
		go func() {
			defer func() { _ = recover() }() // a panic of somebody else's Reader
			_, _ = io.Copy(w, stdin)
			_ = w.Close()
		}()
	}, nil
}

// waitChild returns when a child has ended, which it leaves to be reaped, or
// when ctx has.
func waitChild(ctx context.Context, pid int) {
	child, ok := procfs.Find(pid)
	if !ok {
		return
	}
	if p, ok := openProcess(pid, child.Start); ok {
		defer p.release()
		_ = p.wait(ctx)
	}
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// lookPath finds a program as a shell in dir would, with the release's PATH
// and not the server's.
func lookPath(program, dir, path string) (string, error) {
	if strings.Contains(program, "/") {
		if !filepath.IsAbs(program) {
			program = filepath.Join(dir, program)
		}
		return program, nil
	}
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := filepath.Join(d, program)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", hop3.Errorf(hop3.CodeNotFound, "the release has no program %q", program).
		WithHint("It was looked for in %s.", path)
}
