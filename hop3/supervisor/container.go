package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

// A container is no process of ours. What is started, watched and adopted in
// its place is the engine's client that is attached to it, which ends with it;
// where a client ends, its container is removed. So a server that was killed
// finds its containers as it finds processes.

const (
	// engineTime bounds what is asked of the engine while an instance starts
	// or ends.
	engineTime = 30 * time.Second
	// sweepTime bounds how long the server's start waits for the engine.
	sweepTime = 10 * time.Second
)

// containerName names the container of an instance. No name of an app or of a
// type has a dot.
func containerName(id hop3.ReleaseID, processType string, ordinal int) string {
	return fmt.Sprintf("%s.%d.%s.%d", id.App, id.Number, processType, ordinal)
}

var errNoEngine = hop3.Errorf(hop3.CodeUnavailable, "this server runs no containers")

// runContainer starts the instance's container and returns the client that is
// attached to it.
func (i *instance) runContainer(ctx context.Context, plan *sandbox.Plan, log *os.File) (*process, error) {
	r := i.record()
	run := containerRun(i.launch, r.Container)
	own := hop3.Env{processVariable: fmt.Sprintf("%s.%d", r.Type, r.Ordinal)}
	if run.Host = r.Port; r.Port != 0 {
		run.Port = i.launch.Container.Port
		own["PORT"] = strconv.Itoa(run.Port)
	}
	run.Env = i.launch.Env.Merge(own)
	if strings.TrimSpace(r.Command) != "" {
		run.Args = []string{"/bin/sh", "-c", r.Command}
	}
	argv, env, err := i.s.createContainer(ctx, run)
	if err != nil {
		return nil, err
	}
	p, err := startProcess(argv, "/", append(env, markerVariable+"="+i.marker), log, plan)
	if err != nil {
		return nil, errors.Join(err, i.s.removeContainers(r.Container))
	}
	return p, nil
}

// contain makes the container of a one-off command, and the client that
// attaches to it the command that is started here.
func (o *oneOff) contain(ctx context.Context, s *Supervisor, l *hop3.Launch) error {
	run := containerRun(l, o.container)
	run.OneOff, run.Stdin, run.Args = true, o.Stdin != nil || o.Terminal != nil, o.Args
	if o.Shell != "" {
		run.Args = []string{"/bin/sh", "-c", o.Shell}
	}
	if len(run.Args) == 0 {
		return hop3.Errorf(hop3.CodeInvalid, "there is no command to run")
	}
	own := hop3.Env{processVariable: cmp.Or(o.Name, "run")}
	if o.Terminal != nil {
		own["TERM"] = cmp.Or(o.Terminal.Type, "dumb")
		run.TTY, run.Rows, run.Columns = true, o.Terminal.Size.Rows, o.Terminal.Size.Columns
	}
	run.Env = l.Env.Merge(own)
	argv, env, err := s.createContainer(ctx, run)
	if err != nil {
		return err
	}
	o.cmd = &exec.Cmd{
		Path: argv[0], Args: argv, Dir: "/",
		Env:         append(env, markerVariable+"="+o.marker),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		WaitDelay:   outputGrace,
	}
	return nil
}

func containerRun(l *hop3.Launch, name string) hop3.ContainerRun {
	return hop3.ContainerRun{Name: name, ID: l.ID, Image: l.Container.Image, Limits: l.Limits, Mounts: l.Mounts}
}

func (s *Supervisor) createContainer(ctx context.Context, run hop3.ContainerRun) (argv, env []string, err error) {
	if s.options.Containers == nil {
		return nil, nil, errNoEngine
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	// Not cut short: the engine may make what nobody waits for any more, after
	// it was removed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), engineTime)
	defer cancel()
	return s.options.Containers.Create(ctx, run)
}

func (s *Supervisor) removeContainers(names ...string) error {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "" })
	if len(names) == 0 {
		return nil
	}
	if s.options.Containers == nil {
		return errNoEngine
	}
	ctx, cancel := context.WithTimeout(context.Background(), engineTime)
	defer cancel()
	var errs []error
	for _, name := range names {
		errs = append(errs, s.options.Containers.Remove(ctx, name))
	}
	return errors.Join(errs...)
}

// containerExit says how the last run of a container ended.
func (s *Supervisor) containerExit(name string, l hop3.Limits) string {
	if s.options.Containers == nil {
		return "unknown"
	}
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	exit := s.options.Containers.Exit(ctx, name)
	if exit == "out of memory" {
		return outOfMemory(l)
	}
	return exit
}

// terminateContainers asks what runs in containers to end, and returns the
// clients of those that could be asked.
func (f family) terminateContainers() (asked map[int]bool) {
	asked = map[int]bool{}
	for name, client := range f.containers {
		ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
		if f.engine != nil && f.engine.Terminate(ctx, name) == nil {
			asked[client] = true
		}
		cancel()
	}
	return asked
}

// sweepContainers removes the containers of no instance: those of commands
// whose server was killed, and what a crash left half made.
func (s *Supervisor) sweepContainers(instances []record) error {
	if s.options.Containers == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	names, err := s.options.Containers.List(ctx)
	if err != nil {
		return fmt.Errorf("listing the containers: %w", err)
	}
	var errs []error
	for _, name := range names {
		if slices.ContainsFunc(instances, func(r record) bool { return r.Container == name }) {
			continue
		}
		s.logger.Info("removing a container of no instance", zap.String("container", name))
		errs = append(errs, s.options.Containers.Remove(ctx, name))
	}
	return errors.Join(errs...)
}
