package hop3cmd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// A reload replaces the image of the server's process by exec: the process
// keeps its id, its children and its sockets, in which connections wait while
// the new image starts. It goes like this:
//
//  1. the new image is run with --check, and new ports are opened: what is
//     wrong is found while nothing has changed;
//  2. what is under way is finished, within limits, while new requests are
//     served;
//  3. the server ends as it would on SIGTERM, and execs.
//
// An image that cannot start execs the one that was before it.

// handoverVariable tells an image what the one before it left.
const handoverVariable = "HOP3_HANDOVER"

// handover is what an image of the process leaves to the next.
type handover struct {
	PID        int                   `json:"pid"`        // for this process only
	Executable string                `json:"executable"` // where the program is installed
	Args       []string              `json:"args"`       // of the process
	Sockets    sockets               `json:"sockets"`
	Notify     notifier              `json:"notify"`
	Reload     caddymodules.Reloaded `json:"reload"`
	Previous   string                `json:"previous,omitempty"` // the program to go back to; "" for none

	grace caddymodules.Grace
}

// startLimit is how long a new image may take to serve before the one that was
// before it comes back.
const startLimit = 3 * time.Minute

// defaultGrace is what a reload leaves to what is under way.
func defaultGrace() caddymodules.Grace {
	return caddymodules.Grace{Requests: 15 * time.Second, Changes: 2 * time.Minute, Last: 2 * time.Second}
}

// takeHandover returns what the image before this one left, nil when there was
// none, and removes it from the environment: no child is to have it.
func takeHandover() (*handover, error) {
	text := os.Getenv(handoverVariable)
	if err := os.Unsetenv(handoverVariable); err != nil || text == "" {
		return nil, err
	}
	h := &handover{}
	if err := json.Unmarshal([]byte(text), h); err != nil {
		return nil, fmt.Errorf("reading %s: %w", handoverVariable, err)
	}
	if h.PID != os.Getpid() {
		return nil, nil
	}
	return h, h.Sockets.inherit(false)
}

// prepare does the first step of a reload. When it returns an error, nothing
// has changed.
func (i *instance) prepare(ctx context.Context, r caddymodules.ReloadRequest) (*handover, error) {
	if !i.reloading.TryLock() {
		return nil, hop3.Errorf(hop3.CodeConflict, "a reload is under way already")
	}
	h, err := i.prepareLocked(ctx, r)
	if err != nil {
		i.reloading.Unlock() // otherwise this image ends
		return nil, err
	}
	return h, nil
}

func (i *instance) prepareLocked(ctx context.Context, r caddymodules.ReloadRequest) (*handover, error) {
	h := &handover{
		PID: os.Getpid(), Executable: i.executable, Args: i.args, Notify: i.notify,
		Reload: caddymodules.Reloaded{ID: rand.Text()}, grace: defaultGrace(),
	}
	if r.Grace != nil {
		h.grace.Requests, h.grace.Changes = time.Duration(*r.Grace)*time.Second, time.Duration(*r.Grace)*time.Second
	}
	candidate := i.executable
	if r.Binary != "" {
		var err error
		if candidate, err = stage(r.Binary, i.executable); err != nil {
			return nil, err
		}
		defer func() { _ = os.Remove(candidate) }() // gone already when it was installed
	}
	if err := i.check(ctx, candidate); err != nil {
		return nil, err
	}
	// The new image may know settings that this one does not: then it opens
	// its sockets itself.
	h.Sockets = i.sockets
	if config, err := serverconfig.Load(i.options.config()); err == nil {
		if h.Sockets, err = i.sockets.open(config); err != nil {
			return nil, err
		}
	}
	if r.Binary != "" {
		previous, err := install(candidate, i.executable)
		if err != nil {
			return nil, errors.Join(err, h.Sockets.closeBut(i.sockets))
		}
		h.Previous = previous
	}
	return h, nil
}

// checked is what a program says first when it has checked that it could run.
const checked = "Checked: Hop3 "

// check runs a program with our own arguments, for it to say whether it could
// run the server with them.
func (i *instance) check(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(slices.Clone(i.args[1:]), "--check")...)
	cmd.Args[0] = i.args[0]
	out, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(out), checked) {
		err = errors.New("it is another program than Hop3")
	}
	if err == nil {
		return nil
	}
	why := strings.TrimSpace(strings.TrimPrefix(string(out), "hop3: "))
	if why == "" || !errors.As(err, new(*exec.ExitError)) {
		why = err.Error()
	}
	return hop3.Errorf(hop3.CodeInvalid, "nothing was reloaded, the server goes on as it was: %s", why)
}

// check says whether `hop3 run` could run with these options, without doing
// anything.
func check(o runOptions, out io.Writer) error {
	config, err := serverconfig.Load(o.config())
	if err != nil {
		return err
	}
	if err := validate(config, o.settings); err != nil {
		return startError(err)
	}
	fmt.Fprintf(out, "%s%s can run on %s\n", checked, caddymodules.Version, config.Home)
	return nil
}

// exec becomes the image that h is for. It returns only with an error.
func (i *instance) exec(h *handover) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := h.Sockets.inherit(true); err != nil {
		return err
	}
	// A SIGHUP that comes before the new image listens for it must not end it.
	signal.Ignore(syscall.SIGHUP)
	err = syscall.Exec(i.executable, i.args, append(os.Environ(), handoverVariable+"="+string(text)))
	return errors.Join(fmt.Errorf("starting %s: %w", i.executable, err), h.Sockets.inherit(false))
}

// back returns to the program that was before this one, which cannot start. It
// returns only with an error.
func (i *instance) back(why error) error {
	h := *i.handed
	h.Previous, h.Sockets = "", i.sockets
	h.Reload.Error = sentence(why)
	if err := os.Rename(i.handed.Previous, i.executable); err != nil {
		i.executable = i.handed.Previous // it need not have its name to run
	}
	return errors.Join(why, i.exec(&h))
}

// next ends this image and becomes the next one. It returns only with an error.
func (i *instance) next(h *handover) error {
	err := i.exec(h)
	if h.Previous == "" {
		return err
	}
	// The new program does not even run.
	i.handed = h
	return i.back(err)
}

// hostSocketPath is where host commands reach the server of a home.
func hostSocketPath(home string) string { return filepath.Join(home, "run", "server.sock") }
