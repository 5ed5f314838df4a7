package supervisor

import (
	"context"
	"fmt"
	"os"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/sandbox"
)

// child is what a Launcher may know of an instance that anybody started.
func (r *record) child() Child {
	return Child{
		ID: r.id(), Process: hop3.Process{Type: r.Type}, Ordinal: r.Ordinal,
		Marker: r.Marker, LogFile: r.LogFile, Port: r.Port, Socket: r.Socket, Container: r.Container,
	}
}

// launcher returns what starts an instance, nil for a fork.
func (s *Supervisor) launcher(r *record) Launcher {
	if r.Container != "" {
		return nil
	}
	return s.options.Launcher
}

// child is the instance as a Launcher sees it; its place is made by launched.
func (i *instance) child() Child {
	r := i.record()
	c := r.child()
	c.Process, c.Launch, c.Argv, c.Env = i.process, i.launch, shell(i.process.Command), i.environ(r)
	return c
}

// address gives an instance that serves HTTP the address it will have: the one
// it had, where it still can.
func (i *instance) address(r *record) error {
	if !hop3.ServesHTTP(r.Type) {
		return nil
	}
	if l := i.s.launcher(r); l != nil {
		if r.Socket = l.Socket(i.child()); r.Socket != "" {
			i.s.ports.release(r.Port, i.marker)
			r.Port = 0
			return nil
		}
	}
	r.Socket = ""
	if r.Port != 0 {
		return nil
	}
	port, err := i.s.ports.lease(i.marker, 0)
	if err != nil {
		return err
	}
	r.Port = port
	return nil
}

// run starts the instance's process, by the Launcher where there is one.
func (i *instance) run(ctx context.Context, plan *sandbox.Plan, log *os.File) (*process, error) {
	if i.launch.Container != nil {
		return i.runContainer(ctx, plan, log)
	}
	c := i.child()
	if i.s.options.Launcher == nil {
		return startProcess(c.Argv, i.launch.Dir, c.Env, log, plan)
	}
	c.Plan = plan
	pid, err := i.s.options.Launcher.Launch(ctx, c)
	if err != nil {
		return nil, err
	}
	found, ok := procfs.Find(pid)
	if ok {
		if p, ok := openProcess(pid, found.Start); ok {
			return p, nil
		}
	}
	return nil, fmt.Errorf("it ended at once: %s", i.s.options.Launcher.Exit(c))
}

// exit says how a run of the instance ended. It frees the process's entry in
// the process table where it is our child.
func (i *instance) exit(pid int) string {
	exit := reap(pid)
	if r := i.record(); r.Container != "" {
		return i.s.containerExit(r.Container, i.launch.Limits)
	}
	if i.s.options.Launcher != nil {
		exit = i.s.options.Launcher.Exit(i.child())
	}
	if i.ranOut() {
		return outOfMemory(i.launch.Limits)
	}
	return exit
}
