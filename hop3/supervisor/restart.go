package supervisor

import (
	"context"
	"slices"
	"time"

	"github.com/abilian/hop3/hop3"
)

// restart is what Restart asks of the goroutine that watches an instance, so
// that only this one ends and starts its processes.
type restart struct {
	why   string
	grace context.Context // ends with the grace
	done  chan struct{}
	err   error // once done is closed
}

// Restart implements hop3.Runtime. An instance that is being restarted already
// is not restarted twice; Stop and Close do not wait for a restart, but end it.
func (s *Supervisor) Restart(ctx context.Context, id hop3.ReleaseID, processType string, ordinal int, why string, grace time.Duration) error {
	if err := validateID(id); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		return errClosed
	}
	held := s.held(id)
	n := slices.IndexFunc(held, func(i *instance) bool {
		return i.process.Type == processType && i.ordinal == ordinal
	})
	if n < 0 {
		return s.notHeld(id, processType, ordinal)
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	i := held[n]
	r := i.ask(&restart{why: why, grace: ctx, done: make(chan struct{})})
	if r == nil {
		return nil
	}
	select {
	case <-r.done:
		return r.err
	case <-i.done: // who stops it sees to the processes
		if s.ctx.Err() != nil {
			return errClosed
		}
		return nil
	}
}

// Private

// notHeld says why an instance that nobody watches is not restarted: it does
// not run, or an earlier server started it.
func (s *Supervisor) notHeld(id hop3.ReleaseID, processType string, ordinal int) error {
	if hop3.ValidateProcessType(processType) != nil {
		return nil
	}
	r, err := s.states.load(id, processType, ordinal)
	if err != nil || r == nil || !r.alive(s.states.boot) {
		return err
	}
	return hop3.Errorf(hop3.CodeConflict, "%s.%d of %s was started by an earlier server and is not watched yet", processType, ordinal, name(id)).
		WithHint("Start the release first.")
}

// ask hands a restart to the instance's goroutine and returns the one that it
// carries out; nil when the instance does not run.
func (i *instance) ask(r *restart) *restart {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.state != hop3.InstanceRunning {
		return nil
	}
	if i.asked == nil {
		i.asked = r
		if i.interrupt != nil {
			i.interrupt()
		}
	}
	return i.asked
}

// oversee waits until a run of the instance has ended, by itself or because a
// restart was asked for, and says how. An error means that nobody wants it to
// be watched any more.
func (i *instance) oversee(ctx context.Context, p *process) (exit string, err error) {
	defer p.release()
	waiting, interrupt := context.WithCancel(ctx)
	defer interrupt()
	i.mu.Lock()
	i.interrupt = interrupt
	if i.asked != nil {
		interrupt()
	}
	i.mu.Unlock()

	err = p.wait(waiting)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err == nil {
		exit = i.exit(p.pid)
	} else if err := i.end(ctx); err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.interrupt = nil
	i.state = hop3.InstanceBackoff // from here on there is nothing to restart
	if r := i.asked; r != nil {
		exit, i.asked = r.why, nil
		close(r.done)
	}
	return exit, nil
}

// end ends the instance for the restart that was asked for. It returns an
// error only when ctx ends, else r.err has it.
func (i *instance) end(ctx context.Context) error {
	i.mu.Lock()
	r := i.asked
	i.mu.Unlock()
	if r.err = i.s.forget(ctx, i.child()); r.err != nil {
		return ctx.Err()
	}
	grace, cancel := context.WithCancel(r.grace)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	f := i.family()
	if r.err = f.terminate(); r.err != nil {
		return ctx.Err()
	}
	gone, err := f.await(grace)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.err = err; err == nil && !gone {
		r.err = f.kill()
	}
	return nil
}
