// Package services runs the servers that Hop3 has of its own for addons, as a
// PostgreSQL where none is configured. They are kept running as the instances
// of apps are: each as a user of its own where there is isolation, started
// again when it ends, and adopted by the next server when this one ends.
//
// All that a service has is in a directory of its name: what it is, in
// service.json, its data and its log.
package services

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/ready"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/hop3/supervisor"
)

// Options are the settings of Services. Dir and RunDir are required.
type Options struct {
	Dir    string // holds a directory for each service; in the sandbox's home
	RunDir string // holds what is known of their processes
	// Sandbox is where they run, the one of the apps; nil for no isolation.
	Sandbox *sandbox.Sandbox
	// Reserved says which ports FreePort is not to return, beside those that
	// are in use: they are somebody's who does not run; nil for none.
	Reserved func() (map[int]bool, error)
	// Backoff says how soon one that ended starts again.
	Backoff supervisor.Backoff
	Logger  *zap.Logger // nil: nothing is logged
}

// Services is a hop3.Services.
type Services struct {
	dir        string
	box        *sandbox.Sandbox
	supervisor *supervisor.Supervisor
	reserved   func() (map[int]bool, error)
	prober     ready.Prober

	mu    sync.Mutex
	locks map[string]chan struct{} // of capacity 1: who changes a service
	next  int                      // the port that FreePort returned last
	ports map[string]int           // of the services there are
}

var _ hop3.Services = (*Services)(nil)

// Open returns the services in a directory. Those that are meant to run are
// adopted, or started. Only one server at a time may use the directories.
func Open(o Options) (*Services, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if err := os.MkdirAll(o.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("making the directory of services: %w", err)
	}
	sup, err := supervisor.New(supervisor.Options{
		Name: "services", Kind: kind, RunDir: o.RunDir, Sandbox: o.Sandbox, Backoff: o.Backoff, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the services: %w", err)
	}
	s := &Services{dir: o.Dir, box: o.Sandbox, supervisor: sup, reserved: o.Reserved, locks: map[string]chan struct{}{}, ports: map[string]int{}, next: firstPort + rand.N(lastPort-firstPort)}
	if err := s.resume(o.Logger); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the services: %w", err), sup.Close())
	}
	return s, nil
}

// Halt stops all services at once. The next server starts those again that are
// meant to run.
func (s *Services) Halt(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var halted sync.WaitGroup
	errs := make([]error, len(entries))
	for i, e := range entries {
		if !e.IsDir() || !serviceName.MatchString(e.Name()) {
			continue
		}
		halted.Go(func() {
			unlock, err := s.lock(ctx, e.Name())
			if err == nil {
				defer unlock()
				err = s.supervisor.Stop(ctx, release(e.Name()), stopGrace)
			}
			if err != nil {
				errs[i] = fmt.Errorf("stopping the service %s: %w", e.Name(), err)
			}
		})
	}
	halted.Wait()
	return errors.Join(errs...)
}

// Close leaves the services running, for the next server.
func (s *Services) Close() error { return s.supervisor.Close() }

// Prepare implements hop3.Services.
func (s *Services) Prepare(ctx context.Context, name string) (hop3.ServiceDir, error) {
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return hop3.ServiceDir{}, err
	}
	defer unlock()
	return s.prepare(name)
}

// Run implements hop3.Services.
func (s *Services) Run(ctx context.Context, name string, env hop3.Env, argv ...string) error {
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.prepare(name); err != nil {
		return err
	}
	var said tail
	exit, err := s.supervisor.Run(ctx, s.launch(hop3.Service{Name: name, Env: env}), hop3.OneOff{
		Args: argv, Stdout: &said, Stderr: &said, Name: "setup",
	})
	switch {
	case err != nil:
		return fmt.Errorf("running %s of the service %s: %w", filepath.Base(argv[0]), name, err)
	case exit != 0:
		return hop3.Errorf(hop3.CodeUnavailable, "%s, for the service %s, failed with status %d: %s", filepath.Base(argv[0]), name, exit, said.text())
	}
	return nil
}

// Start implements hop3.Services. One that runs as something else, with other
// arguments, is started anew.
func (s *Services) Start(ctx context.Context, service hop3.Service) error {
	unlock, err := s.lock(ctx, service.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if len(service.Args) == 0 {
		return hop3.Errorf(hop3.CodeInvalid, "the service %s has no program", service.Name)
	}
	if _, err := s.prepare(service.Name); err != nil {
		return err
	}
	was, err := s.load(service.Name)
	if err == nil && !reflect.DeepEqual(was, service) {
		// First it is known what is to run, then it does.
		if err := s.supervisor.Stop(ctx, release(service.Name), stopGrace); err != nil {
			return err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(s.keepPort(service), s.save(service)); err != nil {
		return fmt.Errorf("writing down the service %s: %w", service.Name, err)
	}
	_, err = s.supervisor.Start(ctx, s.launch(service))
	return err
}

// Stop implements hop3.Services.
func (s *Services) Stop(ctx context.Context, name string) error {
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	return s.stop(ctx, name)
}

// Remove implements hop3.Services.
func (s *Services) Remove(ctx context.Context, name string) error {
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.stop(ctx, name); err != nil {
		return err
	}
	if err := os.RemoveAll(s.of(name)); err != nil {
		return fmt.Errorf("removing the service %s: %w", name, err)
	}
	s.mu.Lock()
	delete(s.ports, name)
	s.mu.Unlock()
	return errors.Join(s.box.Remove(kind+"/"+name), s.box.Forget(name+"."+kind))
}

// FreePort implements hop3.Services. It goes round, so that it does not return
// a port again before that is in use, and returns none that the kernel would
// give to a connection while the service does not run.
func (s *Services) FreePort() (int, error) {
	var reserved map[int]bool
	if s.reserved != nil {
		var err error
		if reserved, err = s.reserved(); err != nil {
			return 0, fmt.Errorf("reading which ports are somebody's: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == 0 { // somewhere: there may be another server on this machine
		s.next = firstPort + rand.IntN(lastPort-firstPort)
	}
	for range lastPort - firstPort + 1 {
		if s.next++; s.next < firstPort || s.next > lastPort {
			s.next = firstPort
		}
		if !reserved[s.next] && !s.has(s.next) && free(s.next) {
			return s.next, nil
		}
	}
	return 0, hop3.Errorf(hop3.CodeUnavailable, "no port from %d to %d is free for another service", firstPort, lastPort)
}

// Ports returns whose the ports are that services listen on, also those that are
// stopped.
func (s *Services) Ports() map[int]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := make(map[int]string, len(s.ports))
	for name, port := range s.ports {
		owners[port] = name
	}
	return owners
}

// Listens implements hop3.Services.
func (s *Services) Listens(ctx context.Context, name string, port int) error {
	if !serviceName.MatchString(name) {
		return hop3.Errorf(hop3.CodeInvalid, "%.80q cannot be a service's name", name)
	}
	instances, err := s.supervisor.Instances(ctx, release(name))
	if err != nil {
		return err
	}
	for _, i := range instances {
		if i.PID != 0 && s.prober.Owner(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), i.PID) == nil {
			return nil
		}
	}
	holder, err := s.prober.PortHolder(hop3.Port{Number: port, Protocol: "tcp"})
	if err != nil {
		return err
	}
	if holder == "" {
		return hop3.Errorf(hop3.CodeUnavailable, "the service %s does not listen on its port %d", name, port).
			WithHint("Try again in a moment: it is started again when it ends. Its log is %s.", filepath.Join(s.of(name), "log", process+".1.log"))
	}
	return hop3.Errorf(hop3.CodeConflict, "port %d of the service %s is taken by %s", port, name, holder).
		WithHint("End that program, or move it to another port: the service then starts by itself.")
}

// Private

const (
	// kind names the control groups of services, and the directory that
	// the sandbox looks for their users in.
	kind = "services"
	// firstPort and lastPort are below those that apps get.
	firstPort, lastPort = 17000, 19999
	// stopGrace is how long a service may take to write down what it has.
	stopGrace = time.Minute
	// process is the type of a service's only process.
	process = "service"
)

func free(port int) bool {
	for _, host := range []string{"127.0.0.1", ""} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func release(name string) hop3.ReleaseID { return hop3.ReleaseID{App: name, Number: 1} }

func (s *Services) of(name string) string { return filepath.Join(s.dir, name) }

var serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// lock waits for whoever changes the service.
func (s *Services) lock(ctx context.Context, name string) (unlock func(), err error) {
	if !serviceName.MatchString(name) {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%.80q cannot be a service's name", name)
	}
	s.mu.Lock()
	l := s.locks[name]
	if l == nil {
		l = make(chan struct{}, 1)
		s.locks[name] = l
	}
	s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prepare makes the service's directories, its user's where it has one.
func (s *Services) prepare(name string) (hop3.ServiceDir, error) {
	dir := hop3.ServiceDir{Data: filepath.Join(s.of(name), "data"), Log: filepath.Join(s.of(name), "log", process+".1.log")}
	for _, d := range []string{s.of(name), filepath.Dir(dir.Log)} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return dir, fmt.Errorf("making the directory of the service %s: %w", name, err)
		}
	}
	plan, err := s.box.Prepare(sandbox.Spec{App: name + "." + kind, AppDir: s.of(name), Writable: []string{dir.Data}})
	if err != nil {
		return dir, fmt.Errorf("preparing the service %s: %w", name, err)
	}
	if plan.View != nil {
		dir.User = strconv.Itoa(plan.UID)
	}
	if err := errors.Join(os.MkdirAll(dir.Data, 0o700), os.Chmod(dir.Data, 0o700)); err != nil {
		return dir, fmt.Errorf("preparing the service %s: %w", name, err)
	}
	return dir, nil
}

// launch is a service as the supervisor knows it.
func (s *Services) launch(service hop3.Service) hop3.Launch {
	data := filepath.Join(s.of(service.Name), "data")
	l := hop3.Launch{
		ID: release(service.Name), Dir: data, AppDir: s.of(service.Name), Writable: []string{data},
		LogDir: filepath.Join(s.of(service.Name), "log"),
		Env:    hop3.Env{"HOME": data, "LC_ALL": "C.UTF-8"}.Merge(service.Env),
	}
	if len(service.Args) > 0 {
		l.Processes = []hop3.Process{{Type: process, Command: commandLine(service.Args), Count: 1}}
	}
	return l
}

// commandLine is an argv as the supervisor takes it, a line for a shell, which
// becomes the program.
func commandLine(argv []string) string {
	line := "exec"
	for _, arg := range argv {
		line += " '" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return line
}

func (s *Services) stop(ctx context.Context, name string) error {
	if err := os.Remove(s.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stopping the service %s: %w", name, err)
	}
	return s.supervisor.Stop(ctx, release(name), stopGrace)
}

// resume starts what is meant to run. What cannot be started is only logged:
// the others, and apps, are to go on.
func (s *Services) resume(logger *zap.Logger) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !serviceName.MatchString(e.Name()) {
			continue
		}
		if err := s.loadPort(e.Name()); err != nil {
			logger.Error("it is not known which port a service has", zap.String("service", e.Name()), zap.Error(err))
		}
		service, err := s.load(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			// Also what a server left that was killed while it stopped it.
			err = s.supervisor.Stop(context.Background(), release(e.Name()), stopGrace)
		} else if err == nil {
			_, err = s.supervisor.Start(context.Background(), s.launch(service))
		}
		if err != nil {
			logger.Error("a service cannot be started", zap.String("service", e.Name()), zap.Error(err))
		}
	}
	return nil
}

// tail keeps the end of what a program writes.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > tailSize {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.kept), ""))
}
