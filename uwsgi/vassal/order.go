// Package vassal is what the emperor runs in place of uwsgi: a start of this
// program that takes on an instance's place and environment and becomes uWSGI.
//
// It imports little, so that it is there before the rest of a large program is
// initialized: every start of an app waits for it.
package vassal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3/sandbox"
)

// Order is what a vassal is started with, again and again: all that is not in
// its file. It holds the app's secrets and is the server's alone to read.
type Order struct {
	Marker  string // of the instance
	Kind    string
	Program string // uWSGI
	Command string // of a daemon: its command line
	Env     []string
	Dir     string
	LogFile string
	Socket  string // "" for none
	Backlog int    // of Socket
	Plan    *sandbox.Plan
}

// Place is the directories that the launcher and the vassals share.
type Place struct{ Home string }

// Available holds the vassals' files.
func (p Place) Available() string { return filepath.Join(p.Home, "uwsgi-available") }

// Enabled holds links to them: the emperor's directory.
func (p Place) Enabled() string { return filepath.Join(p.Home, "uwsgi-enabled") }

// Dir holds what is between a launcher and its vassals.
func (p Place) Dir() string { return filepath.Join(p.Home, "run", "emperor") }

// Orders holds the orders and what belongs to them.
func (p Place) Orders() string { return filepath.Join(p.Dir(), "orders") }

// Sockets holds the sockets of vassals that answer HTTP.
func (p Place) Sockets() string { return filepath.Join(p.Dir(), "sockets") }

// Starter is this program by the name under which it starts vassals.
func (p Place) Starter() string { return filepath.Join(p.Dir(), "bin", Program) }

// Config is a vassal's file.
func (p Place) Config(name string) string { return filepath.Join(p.Available(), name+".ini") }

// Link is the link to it, relative so that a home may be moved.
func (p Place) Link(name string) string { return filepath.Join(p.Enabled(), name+".ini") }

// OrderFile is an order, as JSON.
func (p Place) OrderFile(name string) string { return filepath.Join(p.Orders(), name+".json") }

// Wanted is there when the launcher asks for a start; who starts the vassal
// takes it away. Without it the emperor starts by itself.
func (p Place) Wanted(name string) string { return filepath.Join(p.Orders(), name+".wanted") }

// RunFile is what the keeper writes of the current run: see ReadRun.
func (p Place) RunFile(name string) string { return filepath.Join(p.Orders(), name+".run") }

// Again counts the starts by the emperor alone that failed soon.
func (p Place) Again(name string) string { return filepath.Join(p.Orders(), name+".again") }

// Make makes the directories.
func (p Place) Make() error {
	for _, dir := range []string{p.Available(), p.Enabled(), p.Dir(), p.Orders(), p.Sockets(), filepath.Dir(p.Starter())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// LockedOrder is an order that is not forgotten while it is held.
type LockedOrder struct {
	Order
	file *os.File
}

// Close lets go of the order. So does becoming another program.
func (o *LockedOrder) Close() error { return o.file.Close() }

// Take reads an order and holds it. When there is none, or it has just been
// forgotten, the error is fs.ErrNotExist.
func (p Place) Take(name string) (*LockedOrder, error) {
	f, err := os.Open(p.OrderFile(name))
	if err != nil {
		return nil, err
	}
	o := &LockedOrder{file: f}
	if err = flock(f, unix.LOCK_SH); err == nil {
		err = json.NewDecoder(f).Decode(&o.Order)
	}
	var now os.FileInfo
	info, statErr := f.Stat()
	if err == nil && statErr == nil {
		now, err = os.Stat(p.OrderFile(name))
	}
	if err = errors.Join(err, statErr); err == nil && !os.SameFile(info, now) {
		err = fs.ErrNotExist // another one has taken its place
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return o, nil
}

// Forget removes an order, and returns when nobody who has read it is still
// about to carry it out: such a one has become the vassal, or given up.
func (p Place) Forget(name string) error {
	f, err := os.Open(p.OrderFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(p.OrderFile(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return flock(f, unix.LOCK_EX)
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Run is what is known of a vassal's current run.
type Run struct {
	PID    int // 0: not started yet
	Exit   int // meaningful when Ended
	Ended  bool
	Failed string // why it could not be started
	// Before is 1 and how the run before exited, where the emperor began this
	// one by itself; 0 when that is not known.
	Before int
}

// ReadRun reads what a keeper has written: "pid 17", "exit 1", or, when there
// was nothing to keep, "failed …".
func ReadRun(file string) Run {
	var r Run
	text, err := os.ReadFile(file)
	if err != nil {
		return r
	}
	for line := range strings.Lines(string(text)) {
		if why, ok := strings.CutPrefix(line, "failed "); ok {
			r.Failed = strings.TrimSpace(why)
		}
		_, _ = fmt.Sscanf(line, "before %d\n", &r.Before)
		if n, _ := fmt.Sscanf(line, "exit %d\n", &r.Exit); n == 1 {
			r.Ended = true
		}
		_, _ = fmt.Sscanf(line, "pid %d\n", &r.PID)
	}
	return r
}

// ReplaceFile writes a file that only the server reads beside its place and
// renames it there.
func ReplaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Remove removes a file that may not be there.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
