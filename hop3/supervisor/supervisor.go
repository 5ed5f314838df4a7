// Package supervisor is the embedded runtime: it runs the instances of
// releases, each in a place that the sandbox makes for it, and restarts those
// that end.
//
// Instances outlive the server. Each runs in a session of its own, writes to a
// log file and not to a pipe, and has a state file, written before it starts,
// by which the next server finds and adopts it. All its processes are in a
// control group of the instance, where there are control groups, and carry the
// variable HOP3_INSTANCE, so that also those that left its session are found.
//
// With a Launcher another program starts the instances; everything else, from
// the log files to the backoff, is the same.
//
// The package needs Linux.
package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/logfile"
	"github.com/abilian/hop3/hop3/sandbox"
)

// Options are the settings of a Supervisor. Only RunDir is required.
type Options struct {
	Name   string // what Supervisor.Name returns; "native" unless set
	RunDir string // holds the state files
	// Kind says what the releases are of, where they share a Sandbox with those
	// of another Supervisor: it begins the names of their control groups.
	// "apps" unless set.
	Kind string
	// PortMin and PortMax are the range $PORT is taken from, 20000 to 29999
	// unless set. It should lie outside of the kernel's ephemeral ports.
	PortMin, PortMax int
	// LogMaxBytes is the size at which a log file is rotated; 10 MiB unless
	// set. Two older files are kept.
	LogMaxBytes int64
	Backoff     Backoff
	// Sandbox is where processes run; nil for no isolation and no limits.
	Sandbox *sandbox.Sandbox
	// Launcher starts instances in another way than by forking them; nil for
	// that. One-off commands are always forked.
	Launcher Launcher
	// Containers runs what a Launch has a Container for, also where there is a
	// Launcher; nil for none.
	Containers hop3.ContainerEngine
	Logger     *zap.Logger // nil: nothing is logged
}

// Backoff says how long an instance that ended waits to be started again: Min,
// doubled with each start, up to Max. A run of at least Reset starts over.
// Fields of zero have the defaults 100 ms, 30 s and 60 s.
type Backoff struct{ Min, Max, Reset time.Duration }

// Supervisor is a hop3.Runtime.
type Supervisor struct {
	options Options
	states  *states
	dirLock *os.File
	ports   *ports
	logs    *logfile.Rotator
	logger  *zap.Logger

	// ctx ends with Close; running counts the goroutines that watch instances
	// and logs.
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	releases map[hop3.ReleaseID][]*instance
	locks    map[hop3.ReleaseID]*releaseLock
}

var _ hop3.Runtime = (*Supervisor)(nil)

// New returns a Supervisor on options.RunDir. What an earlier one left running
// there is left alone until Start adopts it or Stop ends it. While another uses
// the directory, New waits some seconds and returns a CodeUnavailable error.
func New(options Options) (*Supervisor, error) {
	setDefaults(&options)
	if options.PortMin < 1 || options.PortMax > 65535 || options.PortMin > options.PortMax {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%d to %d is not a range of ports", options.PortMin, options.PortMax)
	}
	lock, err := lockDir(options.RunDir)
	if err != nil {
		return nil, fmt.Errorf("locking the supervisor's directory: %w", err)
	}
	s, err := openLocked(options, lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the supervisor's state: %w", err), lock.Close())
	}
	return s, nil
}

// Name returns Options.Name.
func (s *Supervisor) Name() string { return s.options.Name }

// Instances implements hop3.Runtime.
func (s *Supervisor) Instances(_ context.Context, id hop3.ReleaseID) ([]hop3.Instance, error) {
	records, err := s.states.release(id)
	if err != nil {
		return nil, fmt.Errorf("reading the state of %s: %w", name(id), err)
	}
	held := s.held(id)
	if len(records)+len(held) == 0 {
		return nil, nil
	}
	found := make(map[string]hop3.Instance)
	for _, i := range held {
		found[i.marker] = i.snapshot()
	}
	for _, r := range records {
		if _, held := found[r.Marker]; held {
			continue // what is in memory is newer, and needs no look at the process
		}
		state := hop3.InstanceStopped
		if r.alive(s.states.boot) {
			state = hop3.InstanceRunning
		}
		found[r.Marker] = r.instance(state)
	}
	list := make([]hop3.Instance, 0, len(found))
	for _, i := range found {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b hop3.Instance) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	return list, nil
}

// Releases implements hop3.Runtime.
func (s *Supervisor) Releases(context.Context) ([]hop3.ReleaseID, error) {
	return s.states.releases()
}

// Close implements hop3.Runtime. Afterwards Start and Stop return errors.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	err := s.logs.Close()
	if e := s.dirLock.Close(); e != nil && !errors.Is(e, fs.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// Private

func openLocked(options Options, lock *os.File) (*Supervisor, error) {
	states, err := openStates(options.RunDir)
	if err != nil {
		return nil, err
	}
	left, err := states.all()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		options:  options,
		states:   states,
		dirLock:  lock,
		ports:    newPorts(options.PortMin, options.PortMax),
		logs:     logfile.NewRotator(options.LogMaxBytes, slog.New(zapslog.NewHandler(options.Logger.Core(), zapslog.WithName(options.Logger.Name())))),
		logger:   options.Logger,
		releases: make(map[hop3.ReleaseID][]*instance),
		locks:    make(map[hop3.ReleaseID]*releaseLock),
	}
	for _, r := range left {
		s.ports.keep(r.Port, r.Marker)
	}
	if err := s.endOneOffs(); err != nil {
		s.logger.Error("ending the commands that an earlier server ran", zap.Error(err))
	}
	if err := s.sweepContainers(left); err != nil {
		s.logger.Error("removing the containers that an earlier server left", zap.Error(err))
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(func() { s.guard("rotating logs", func() { s.logs.Run(s.ctx) }) })
	if options.Sandbox != nil {
		s.running.Go(func() { s.guard("watching for a want of memory", func() { s.watchMemory(s.ctx) }) })
	}
	return s, nil
}

// releaseLock makes Start and Stop of one release wait for each other.
type releaseLock struct {
	held  chan struct{} // of capacity 1
	users int           // those that hold it or wait for it
}

func (s *Supervisor) lock(ctx context.Context, id hop3.ReleaseID) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[id]
	if l == nil {
		l = &releaseLock{held: make(chan struct{}, 1)}
		s.locks[id] = l
	}
	l.users++
	s.mu.Unlock()

	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.locks, id)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

var errClosed = errors.New("the supervisor is closed")

// watch makes the supervisor responsible for an instance whose process runs, or
// is to be started when p is nil, unless it has been closed.
func (s *Supervisor) watch(i *instance, p *process) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		if p != nil {
			p.release()
		}
		return errClosed
	}
	ctx, cancel := context.WithCancel(s.ctx)
	i.cancel = cancel
	s.releases[i.launch.ID] = append(s.releases[i.launch.ID], i)
	s.running.Go(func() {
		defer close(i.done)
		s.guard("watching "+i.marker, func() { i.supervise(ctx, p) })
	})
	return nil
}

// held returns the instances of a release that this supervisor watches.
func (s *Supervisor) held(id hop3.ReleaseID) []*instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.releases[id])
}

// guard runs f and logs a panic instead of letting it end the server.
func (s *Supervisor) guard(what string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			s.logger.Error("panic while "+what, zap.Any("panic", v), zap.Stack("stack"))
		}
	}()
	f()
}

const apps = "apps"

func setDefaults(o *Options) {
	o.Name = cmp.Or(o.Name, "native")
	o.Kind = cmp.Or(o.Kind, apps)
	o.PortMin = cmp.Or(o.PortMin, 20000)
	o.PortMax = cmp.Or(o.PortMax, 29999)
	o.LogMaxBytes = cmp.Or(o.LogMaxBytes, 10<<20)
	o.Backoff.Min = cmp.Or(o.Backoff.Min, 100*time.Millisecond)
	o.Backoff.Max = cmp.Or(o.Backoff.Max, 30*time.Second)
	o.Backoff.Reset = cmp.Or(o.Backoff.Reset, time.Minute)
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
}

func name(id hop3.ReleaseID) string { return fmt.Sprintf("%s v%d", id.App, id.Number) }
