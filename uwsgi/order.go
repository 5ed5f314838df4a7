package uwsgi

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

// order is what a vassal is started with, again and again: all that is not in
// its file. It holds the app's secrets and is the server's alone to read.
type order struct {
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

// place is the directories that the launcher and the vassals share.
type place struct{ home string }

func (p place) available() string { return filepath.Join(p.home, "uwsgi-available") }
func (p place) enabled() string   { return filepath.Join(p.home, "uwsgi-enabled") }
func (p place) run() string       { return filepath.Join(p.home, "run", "emperor") }
func (p place) orders() string    { return filepath.Join(p.run(), "orders") }
func (p place) sockets() string   { return filepath.Join(p.run(), "sockets") }

// vassal is this program by the name under which it starts vassals.
func (p place) vassal() string { return filepath.Join(p.run(), "bin", Program) }

func (p place) config(name string) string { return filepath.Join(p.available(), name+".ini") }
func (p place) link(name string) string   { return filepath.Join(p.enabled(), name+".ini") }
func (p place) order(name string) string  { return filepath.Join(p.orders(), name+".json") }

// wanted is there when the launcher asks for a start; who starts the vassal
// takes it away. Without it the emperor starts by itself.
func (p place) wanted(name string) string { return filepath.Join(p.orders(), name+".wanted") }

// log is what the keeper writes of the current run: see readRun.
func (p place) log(name string) string { return filepath.Join(p.orders(), name+".run") }

// again counts the starts by the emperor alone that failed soon.
func (p place) again(name string) string { return filepath.Join(p.orders(), name+".again") }

func (p place) make() error {
	for _, dir := range []string{p.available(), p.enabled(), p.run(), p.orders(), p.sockets(), filepath.Dir(p.vassal())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// lockedOrder is an order that is not forgotten while it is held.
type lockedOrder struct {
	order
	file *os.File // closed, also by running another program, when it is let go
}

// take reads an order and holds it. When there is none, or it has just been
// forgotten, the error is fs.ErrNotExist.
func (p place) take(name string) (*lockedOrder, error) {
	f, err := os.Open(p.order(name))
	if err != nil {
		return nil, err
	}
	o := &lockedOrder{file: f}
	if err = flock(f, unix.LOCK_SH); err == nil {
		err = json.NewDecoder(f).Decode(&o.order)
	}
	var now os.FileInfo
	info, statErr := f.Stat()
	if err == nil && statErr == nil {
		now, err = os.Stat(p.order(name))
	}
	if err = errors.Join(err, statErr); err == nil && !os.SameFile(info, now) {
		err = fs.ErrNotExist // another one has taken its place
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return o, nil
}

// forget removes an order, and returns when nobody who has read it is still
// about to carry it out: such a one has become the vassal, or given up.
func (p place) forget(name string) error {
	f, err := os.Open(p.order(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(p.order(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

// runOf is what is known of a vassal's current run.
type runOf struct {
	pid    int // 0: not started yet
	exit   int // meaningful when ended
	ended  bool
	failed string // why it could not be started
	// before is 1 and how the run before exited, where the emperor began this
	// one by itself; 0 when that is not known.
	before int
}

// readRun reads what a keeper has written: "pid 17", "exit 1", or, when there
// was nothing to keep, "failed …".
func readRun(file string) runOf {
	var r runOf
	text, err := os.ReadFile(file)
	if err != nil {
		return r
	}
	for line := range strings.Lines(string(text)) {
		if why, ok := strings.CutPrefix(line, "failed "); ok {
			r.failed = strings.TrimSpace(why)
		}
		_, _ = fmt.Sscanf(line, "before %d\n", &r.before)
		if n, _ := fmt.Sscanf(line, "exit %d\n", &r.exit); n == 1 {
			r.ended = true
		}
		_, _ = fmt.Sscanf(line, "pid %d\n", &r.pid)
	}
	return r
}
