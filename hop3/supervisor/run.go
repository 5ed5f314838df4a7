package supervisor

import (
	"cmp"
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
	"github.com/abilian/hop3/hop3/sandbox"
)

// outputGrace is how long a one-off command's last output may take to be read
// once it has ended.
const outputGrace = 10 * time.Second

// Run implements hop3.Runtime. A command ended by a signal has the exit code
// that shells give it, 128 and the signal's number. What it leaves running is
// killed, and so is the command when ctx ends. A read of cmd.Stdin that waits
// when the command ends is left to whoever closes that reader.
func (s *Supervisor) Run(ctx context.Context, launch hop3.Launch, cmd hop3.OneOff) (int, error) {
	if err := validate(launch); err != nil {
		return 0, err
	}
	o, err := s.newOneOff(ctx, launch, cmd)
	if err != nil {
		return 0, err
	}
	defer s.removeGroup(o.group)
	finish, err := o.start()
	if err != nil {
		return 0, errors.Join(err, s.removeContainers(o.container))
	}
	waitChild(ctx, o.cmd.Process.Pid)
	// Until cmd.Wait the group's name cannot pass to another. What is left
	// would keep the output open.
	_ = unix.Kill(-o.cmd.Process.Pid, unix.SIGKILL)
	ranOut := o.container != "" && strings.HasPrefix(s.containerExit(o.container, launch.Limits), "out of memory")
	left := s.oneOffFamily(o.marker, o.group, o.container).kill()
	err = o.cmd.Wait()
	finish()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("running %q: %w", o.cmd.Args[0], context.Cause(ctx))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, fmt.Errorf("running %q: %w", o.cmd.Args[0], err)
	}
	if ranOut || s.oomKills(o.group) > 0 {
		o.say("the command ran " + outOfMemory(launch.Limits))
	}
	return exitCode(o.cmd.ProcessState), left
}

// oneOffPrefix stands in a marker where an instance has its type. No type's
// name begins with '%': a one-off is no instance, and Stop leaves it alone.
const oneOffPrefix = "%run-"

func (s *Supervisor) oneOffGroup(app, id string) string {
	return fmt.Sprintf("%s/%s/run-%s", s.options.Kind, app, id)
}

func (s *Supervisor) oneOffFamily(marker, group, container string) family {
	f := s.familyOf(record{Marker: marker, Container: container})
	f.groups = []string{group}
	return f
}

// endOneOffs kills the one-off commands that a server left running which was
// killed itself: their callers are gone. What they had of containers is swept.
func (s *Supervisor) endOneOffs() error {
	all, err := procfs.All()
	if err != nil {
		return fmt.Errorf("listing the processes: %w", err)
	}
	groups := make(map[string]string) // marker -> group
	for _, p := range all {
		marker, _ := procfs.Variable(p.PID, markerVariable)
		part := strings.Split(marker, ":") // see states.marker
		if len(part) != 5 || part[0] != s.states.home || hop3.ValidateAppName(part[1]) != nil {
			continue
		}
		if id, ok := strings.CutPrefix(part[3], oneOffPrefix); ok && !strings.ContainsAny(id, "/.") {
			groups[marker] = s.oneOffGroup(part[1], id)
		}
	}
	var errs []error
	for marker, group := range groups {
		errs = append(errs, s.oneOffFamily(marker, group, "").kill())
		s.removeGroup(group)
	}
	return errors.Join(errs...)
}

// oneOff is one run of a command.
type oneOff struct {
	hop3.OneOff
	cmd    *exec.Cmd
	plan   *sandbox.Plan
	marker string
	group  string
	// container is the name of the one it runs in, "" for none.
	container string
}

func (s *Supervisor) newOneOff(ctx context.Context, launch hop3.Launch, what hop3.OneOff) (*oneOff, error) {
	id := strings.ToLower(rand.Text())
	marker := s.states.marker(launch.ID, oneOffPrefix+id, 0)
	group := s.oneOffGroup(launch.ID.App, id)
	plan, err := s.prepare(&launch, group, group)
	if err != nil {
		return nil, err
	}
	o := &oneOff{OneOff: what, plan: plan, marker: marker, group: group}
	if launch.Container != nil {
		o.container = fmt.Sprintf("%s.%d.run.%s", launch.ID.App, launch.ID.Number, id)
		if err := o.contain(ctx, s, &launch); err != nil {
			s.removeGroup(group)
			return nil, err
		}
		return o, nil
	}
	// With the rights of the app's user: of what only the server may run, a
	// shell of the app's would not take a program either.
	err = plan.As(func() (err error) {
		o.cmd, err = command(&launch, what, marker)
		return err
	})
	if err != nil {
		s.removeGroup(group)
		return nil, err
	}
	return o, nil
}

// start starts the command; finish is to be called when it has been waited
// for, and returns when all it wrote has been passed on.
func (o *oneOff) start() (finish func(), err error) {
	begin := o.connect
	if o.Terminal != nil {
		begin = o.connectTerminal
	}
	started, finish, err := begin()
	if err != nil {
		return nil, fmt.Errorf("connecting the command: %w", err)
	}
	if err := o.plan.Start(o.cmd); err != nil {
		finish()
		return nil, hop3.Errorf(hop3.CodeDeploy, "%q cannot be started: %w", o.cmd.Args[0], err)
	}
	if o.Shell == "" { // as the shell does of a command line, only a moment later
		_ = unix.Prlimit(o.cmd.Process.Pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	}
	started()
	return finish, nil
}

// connect gives the command the streams that the caller brought.
func (o *oneOff) connect() (started, finish func(), err error) {
	o.cmd.Stdout, o.cmd.Stderr = o.Stdout, o.Stderr
	started, err = pipeStdin(o.cmd, o.Stdin)
	return started, func() {}, err
}

// say tells the caller something among what the command writes.
func (o *oneOff) say(text string) {
	w, end := o.Stderr, "\n"
	if o.Terminal != nil {
		w, end = o.Stdout, "\r\n"
	}
	if w != nil {
		_, _ = io.WriteString(w, "hop3: "+text+end)
	}
}

// Private

func command(l *hop3.Launch, what hop3.OneOff, marker string) (*exec.Cmd, error) {
	argv := what.Args
	if what.Shell != "" {
		argv = []string{"/bin/sh", "-c", noCore + what.Shell}
	}
	if len(argv) == 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "there is no command to run")
	}
	path := searchPath(l)
	program, err := lookPath(argv[0], l.Dir, path)
	if err != nil {
		return nil, err
	}
	own := hop3.Env{"PATH": path, markerVariable: marker, processVariable: cmp.Or(what.Name, "run")}
	if what.Terminal != nil {
		own["TERM"] = cmp.Or(what.Terminal.Type, "dumb")
	}
	return &exec.Cmd{
		Path:        program,
		Args:        argv,
		Dir:         l.Dir,
		Env:         l.Env.Merge(own).Environ(),
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
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS) == nil {
			return file, nil
		}
	}
	return "", hop3.Errorf(hop3.CodeNotFound, "the release has no program %q", program).
		WithHint("It was looked for in %s.", path)
}
