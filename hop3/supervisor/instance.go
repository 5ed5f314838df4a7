package supervisor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/logfile"
)

// instance is an instance that this supervisor watches.
type instance struct {
	s       *Supervisor
	launch  *hop3.Launch // shared by the instances of one Start
	process hop3.Process
	ordinal int
	marker  string
	group   string // its control group

	// cancel ends supervise, done is closed when it has returned.
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	rec   record
	state hop3.InstanceState
	oomAt time.Time // when a process of it was last seen to be killed for want of memory
	// asked is a restart that is asked for or under way, interrupt wakes who
	// carries it out.
	asked     *restart
	interrupt context.CancelFunc
}

func (s *Supervisor) newInstance(l *hop3.Launch, p hop3.Process, ordinal int) *instance {
	rec := record{
		Marker: s.states.marker(l.ID, p.Type, ordinal),
		App:    l.ID.App, Release: l.ID.Number, Type: p.Type, Ordinal: ordinal,
		Command: p.Command, LogFile: logFile(l, p.Type, ordinal),
	}
	if l.Container != nil {
		rec.Container = containerName(l.ID, p.Type, ordinal)
	}
	return &instance{
		s: s, launch: l, process: p, ordinal: ordinal, marker: rec.Marker, group: s.groupOf(&rec),
		done:  make(chan struct{}),
		state: hop3.InstanceStopped,
		rec:   rec,
	}
}

func (i *instance) snapshot() hop3.Instance {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec.instance(i.state)
}

// record returns what is known of the instance.
func (i *instance) record() record {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec
}

func (i *instance) update(change func(*record), state hop3.InstanceState) record {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(&i.rec)
	i.state = state
	return i.rec
}

// supervise starts the instance again whenever it ends, until ctx does. When it
// could not be started at all, p is nil.
func (i *instance) supervise(ctx context.Context, p *process) {
	failures := 0 // runs in a row that ended soon
	for {
		exit, err := i.record().LastExit, error(nil)
		if p != nil {
			exit, err = i.oversee(ctx, p)
		}
		if err != nil {
			return
		}
		if time.Since(i.record().StartedAt) >= i.s.options.Backoff.Reset {
			failures = 0
		}
		for p = nil; p == nil; failures++ {
			delay := i.s.options.Backoff.delay(failures)
			i.ended(ctx, exit, delay)
			if !i.pause(ctx, delay) {
				return
			}
			if p, err = i.respawn(ctx); err != nil {
				exit = firstLine(err)
			}
		}
	}
}

// ended notes how a run ended, and asks what the process left behind, such as
// workers that still hold the port, to end too.
func (i *instance) ended(ctx context.Context, exit string, delay time.Duration) {
	i.update(func(r *record) { r.ends(exit, time.Now()) }, hop3.InstanceBackoff)
	i.say("ended: %s; starts again in %s", exit, delay)
	i.s.logger.Info("an instance ended", zap.String("instance", i.marker), zap.String("exit", exit), zap.Duration("restart_in", delay))
	err := i.s.forget(ctx, i.child())
	if err == nil {
		err = i.family().terminate()
	}
	if err != nil && ctx.Err() == nil {
		i.s.logger.Warn("ending what an instance left behind", zap.String("instance", i.marker), zap.Error(err))
	}
}

// respawn starts the instance's next run once nothing of the last is left.
func (i *instance) respawn(ctx context.Context) (*process, error) {
	if err := i.s.forget(ctx, i.child()); err != nil {
		return nil, err
	}
	if err := i.family().kill(); err != nil {
		return nil, err
	}
	i.update(func(r *record) { r.Restarts++ }, hop3.InstanceBackoff)
	return i.spawn(ctx)
}

// pause returns false when ctx ended before the delay.
func (i *instance) pause(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (i *instance) family() family { return i.s.familyOf(i.record()) }

// say writes a line into the instance's log, among its own.
func (i *instance) say(format string, args ...any) {
	r := i.record()
	f, err := logfile.Open(r.LogFile)
	if err != nil {
		return // the next start says so
	}
	defer f.Close()
	fmt.Fprintf(f, "hop3: %s.%d (v%d) %s\n", r.Type, r.Ordinal, r.Release, fmt.Sprintf(format, args...))
}

// delay returns how long to wait after a number of runs in a row that failed
// before.
func (b Backoff) delay(failures int) time.Duration {
	delay := b.Min
	for range failures {
		if delay >= b.Max/2 {
			return b.Max
		}
		delay *= 2
	}
	return min(delay, b.Max)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
