package hop3cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/term"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// instance is one run of the server: this image of the process.
type instance struct {
	options    runOptions
	out        io.Writer
	executable string   // where the program is installed
	args       []string // of the process, its name first
	started    time.Time
	handed     *handover // nil when the process began with this image
	notify     notifier
	config     *serverconfig.Config
	sockets    sockets

	ready     atomic.Bool
	reloading sync.Mutex     // held from the check to the end of the image
	prepared  chan *handover // what the next image gets
}

// newInstance opens or takes over the sockets, before anything is started.
func newInstance(o runOptions, out io.Writer) (*instance, error) {
	i := &instance{options: o, out: out, args: os.Args, started: time.Now(), prepared: make(chan *handover, 1)}
	var err error
	if i.executable, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("finding our own program: %w", err)
	}
	if i.handed, err = takeHandover(); err != nil {
		return nil, err
	}
	if i.handed != nil {
		i.executable, i.args = i.handed.Executable, i.handed.Args
		i.notify, i.sockets = i.handed.Notify, i.handed.Sockets
	}
	if err := i.open(); err != nil {
		if i.handed != nil && i.handed.Previous != "" {
			return nil, i.back(err)
		}
		return nil, err
	}
	return i, nil
}

// open reads the configuration and opens what it names.
func (i *instance) open() (err error) {
	if i.config, err = serverconfig.Load(i.options.config()); err != nil {
		return err
	}
	if i.handed == nil {
		i.notify = notifierOf(os.Getenv, os.Getpid())
		if i.sockets, err = fromSystemd(os.Getenv, os.Getpid(), i.config); err != nil {
			return err
		}
		unsetSystemd()
	}
	if err := serverconfig.Prepare(i.config); err != nil {
		return err
	}
	lock, err := serverconfig.LockHome(i.config.Home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	opened, err := i.sockets.open(i.config)
	if err != nil {
		return err
	}
	left := i.sockets
	i.sockets = opened
	return left.closeBut(opened)
}

// serve runs the server until it is told to end. What it returns is for the
// image that is to follow, nil for none.
func (i *instance) serve(ctx context.Context) (next *handover, err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	if !i.options.demo && !term.IsTerminal(int(os.Stdout.Fd())) { // a terminal's end is the server's
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
	}
	watch, ended := context.WithCancel(context.Background())
	defer ended()
	go i.notify.watch(watch)
	if i.handed != nil && i.handed.Previous != "" {
		late := time.AfterFunc(startLimit, func() {
			if !i.ready.Load() {
				tell(i.back(fmt.Errorf("it did not serve within %s", startLimit)))
			}
		})
		defer late.Stop()
	}
	if err := i.start(); err != nil {
		return nil, err
	}
	defer func() {
		if stopErr := i.stop(next); err == nil {
			err = stopErr
		}
	}()
	if err := i.welcome(ctx); err != nil {
		return nil, err
	}
	if next = i.await(ctx, hangup); next == nil {
		stop() // a second Ctrl-C ends the process at once
	}
	return next, nil
}

// start starts everything. A panic is an error like another: there may be a
// program to go back to.
func (i *instance) start() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("starting the server: panic: %v\n%s", p, debug.Stack())
		}
	}()
	caddyJSON, err := caddyConfig(i.config, i.options.settings, i.sockets)
	if err != nil {
		return err
	}
	if err := caddy.Load(caddyJSON, true); err != nil {
		return startError(err)
	}
	i.ready.Store(true)
	if !i.options.demo {
		caddymodules.SetControl(i.config.Home, caddymodules.Control{State: i.state, Reload: i.reload})
	}
	return nil
}

// welcome makes the first user and says where everything is; once only for a
// process. systemd is told when what follows the server's start, such as giving
// that user a key, can be done.
func (i *instance) welcome(ctx context.Context) error {
	if i.handed != nil {
		tell(i.notify.ready())
		if i.handed.Reload.Error != "" {
			fmt.Fprintf(i.out, "The new program could not start, this is the one before it again: %s\n", i.handed.Reload.Error)
		}
		fmt.Fprintf(i.out, "Reloaded: Hop3 %s.\n", caddymodules.Version)
		debug.FreeOSMemory()
		return nil
	}
	p := caddymodules.Platform(i.config.Home)
	if err := caddymodules.GitInstalled(ctx, i.config.Home); err != nil {
		fmt.Fprintf(i.out, "Warning: nobody can push: %s\n\n", hop3.MessageOf(err))
	}
	if err := firstRun(ctx, p, i.out); err != nil {
		return err
	}
	tell(i.notify.ready())
	banner(i.out, i.config, i.options.settings["home"] != "")
	// What only the start needed goes back; an idle server would keep it long.
	debug.FreeOSMemory()
	if i.options.demo {
		return pushDemo(ctx, p, i.config, i.out)
	}
	return nil
}

// await returns nil when the server is to end, and the handover when it is to
// be followed.
func (i *instance) await(ctx context.Context, hangup <-chan os.Signal) *handover {
	for {
		var h *handover
		select {
		case <-ctx.Done():
			return nil
		case h = <-i.prepared:
		case <-hangup:
			var err error
			if h, err = i.prepare(ctx, caddymodules.ReloadRequest{}); err != nil {
				fmt.Fprintf(i.out, "SIGHUP: %s\n", strings.ReplaceAll(sentence(err), "\n", " "))
				continue
			}
		}
		fmt.Fprintln(i.out, "Reloading: what is under way is finished first.")
		tell(i.notify.reloading())
		if err := caddymodules.Drain(ctx, i.config.Home, h.grace); err != nil && ctx.Err() == nil {
			fmt.Fprintf(i.out, "Not everything was finished in time: %v\n", err)
		}
		if ctx.Err() != nil { // told to end meanwhile
			return nil
		}
		return h
	}
}

// lastRequests is how long a server that ends waits for its last requests.
const lastRequests = 30 * time.Second

// stop ends the server: listeners first, then open requests, for a bounded
// time.
func (i *instance) stop(next *handover) error {
	if next == nil {
		caddymodules.EndFront(i.config.Home, defaultGrace().Requests)
	}
	switch {
	case next != nil:
	case i.sockets.systemd():
		// New connections are for the server that comes next; do not let them
		// wait for the slowest of the old ones.
		tell(i.notify.stopping())
		fmt.Fprintln(i.out, "\nShutting down: open requests are finished first.")
		grace := caddymodules.Grace{Requests: defaultGrace().Requests, Last: defaultGrace().Last}
		if err := caddymodules.Drain(context.Background(), i.config.Home, grace); err != nil {
			fmt.Fprintf(i.out, "Not everything was finished in time: %v\n", err)
		}
	default:
		tell(i.notify.stopping())
		fmt.Fprintln(i.out, "\nShutting down: open requests are finished first.")
		if err := caddymodules.End(context.Background(), i.config.Home, lastRequests); err != nil {
			fmt.Fprintf(i.out, "Not everything was finished in time: %v\n", err)
		}
	}
	if p := caddymodules.Platform(i.config.Home); p != nil && i.options.stopApps && next == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.StopAll(ctx); err != nil {
			fmt.Fprintf(i.out, "Some apps did not stop: %v\n", err)
		}
		if err := caddymodules.HaltServices(ctx, i.config.Home); err != nil {
			fmt.Fprintf(i.out, "Some databases did not stop: %v\n", err)
		}
	}
	if err := caddy.Stop(); err != nil {
		return fmt.Errorf("stopping the server: %w", err)
	}
	if !i.options.stopApps && next == nil {
		fmt.Fprintln(i.out, "The apps and their databases go on running; the next `hop3 run` adopts them.")
	}
	return nil
}

// state is what host commands are told of the process.
func (i *instance) state() caddymodules.ProcessState {
	s := caddymodules.ProcessState{
		PID: os.Getpid(), Version: caddymodules.Version, Executable: i.executable, Started: i.started, Ready: i.ready.Load(),
	}
	if i.handed != nil {
		s.Reload = i.handed.Reload
	}
	return s
}

// reload begins a reload that a host command asks for.
func (i *instance) reload(ctx context.Context, r caddymodules.ReloadRequest) (id string, err error) {
	h, err := i.prepare(ctx, r)
	if err != nil {
		return "", err
	}
	i.prepared <- h // there is never more than one: prepare's lock stays held
	return h.Reload.ID, nil
}
