package uwsgi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/supervisor"
	"github.com/abilian/hop3/uwsgi/vassal"
)

// launcher has a uWSGI emperor start the instances.
type launcher struct {
	vassal.Place
	installation installation
	emperor      *emperor
	logger       *zap.Logger

	mu     sync.Mutex
	names  map[string]string // marker -> the vassal's name
	warned map[string]bool   // kinds whose plug-in is missing
}

var _ supervisor.Launcher = (*launcher)(nil)

// newLauncher returns a launcher for a home. lock is the file that a server
// holds a lock on while it lives.
func newLauncher(home, lock string, i installation, logger *zap.Logger) (*launcher, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, err
	}
	l := &launcher{
		Place: vassal.Place{Home: home}, installation: i, logger: logger,
		names: make(map[string]string), warned: make(map[string]bool),
	}
	if err := l.Place.Make(); err != nil {
		return nil, fmt.Errorf("making the directories of uWSGI: %w", err)
	}
	if err := l.linkProgram(); err != nil {
		return nil, fmt.Errorf("linking the program that starts vassals: %w", err)
	}
	if err := vassal.ReplaceFile(filepath.Join(l.Dir(), vassal.LockFile), []byte(lock)); err != nil {
		return nil, err
	}
	l.emperor = newEmperor(l.Place, i.program, logger)
	entries, err := os.ReadDir(l.Orders())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		if o, err := l.Take(name); err == nil {
			l.names[o.Marker] = name
			_ = o.Close()
		}
	}
	return l, nil
}

// Socket implements supervisor.Launcher: what uWSGI itself serves has a socket
// in a directory of the server's, which no app sees.
func (l *launcher) Socket(c supervisor.Child) string {
	if l.installation.kindOf(c) == daemon {
		return ""
	}
	sum := sha256.Sum256([]byte(c.Marker))
	path := filepath.Join(l.Sockets(), hex.EncodeToString(sum[:8]))
	if len(path) > maxSocketPath {
		return ""
	}
	return path
}

// maxSocketPath is the longest name of a unix socket: unix(7).
const maxSocketPath = 107

// Launch implements supervisor.Launcher.
func (l *launcher) Launch(ctx context.Context, c supervisor.Child) (int, error) {
	kind := l.installation.kindOf(c)
	if kind == daemon && strings.TrimSpace(c.Process.Command) == "" {
		return 0, l.missing(c)
	}
	l.warn(kind, c)
	text, err := render(kind, c)
	if err != nil {
		return 0, err
	}
	name, err := l.name(c)
	if err != nil {
		return 0, err
	}
	if err := l.write(name, text, l.newOrder(kind, c)); err != nil {
		return 0, fmt.Errorf("writing the vassal %s: %w", name, err)
	}
	if err := l.emperor.ensure(ctx); err != nil {
		return 0, err
	}
	return l.await(ctx, name)
}

// Find implements supervisor.Launcher.
func (l *launcher) Find(c supervisor.Child) (int, bool) {
	l.mu.Lock()
	name, ok := l.names[c.Marker]
	l.mu.Unlock()
	if !ok {
		return 0, false
	}
	r := vassal.ReadRun(l.RunFile(name))
	return r.PID, r.PID != 0
}

// Forget implements supervisor.Launcher.
func (l *launcher) Forget(_ context.Context, c supervisor.Child) error {
	l.mu.Lock()
	name, ok := l.names[c.Marker]
	l.mu.Unlock()
	if !ok {
		return nil
	}
	// The link first: a crash in between leaves nothing that starts by itself.
	err := errors.Join(vassal.Remove(l.Link(name)), l.Place.Forget(name))
	if err != nil {
		return fmt.Errorf("removing the vassal %s: %w", name, err)
	}
	err = errors.Join(vassal.Remove(l.Config(name)), vassal.Remove(l.Wanted(name)), vassal.Remove(l.RunFile(name)), vassal.Remove(l.Again(name)))
	if c.Socket != "" {
		err = errors.Join(err, vassal.Remove(c.Socket))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, c.Marker)
	return err
}

// exitWait is how long the keeper may take to write how a run ended: it is
// about to, or was killed too.
const exitWait = 500 * time.Millisecond

// Exit implements supervisor.Launcher.
func (l *launcher) Exit(c supervisor.Child) string {
	l.mu.Lock()
	name, ok := l.names[c.Marker]
	l.mu.Unlock()
	if !ok {
		return "unknown"
	}
	for deadline := time.Now().Add(exitWait); ; time.Sleep(2 * time.Millisecond) {
		r := vassal.ReadRun(l.RunFile(name))
		switch {
		case r.Failed != "":
			return r.Failed
		case r.Ended:
			return exitText(r.Exit)
		case r.Before != 0:
			return exitText(r.Before - 1)
		case time.Now().After(deadline):
			return "unknown"
		}
	}
}

// exitText says how a process ended whose exit status a shell told: 128 and
// more stand for signals.
func exitText(status int) string {
	if status > 128 && status < 128+65 {
		return "signal: " + syscall.Signal(status-128).String()
	}
	return fmt.Sprintf("exit status %d", status)
}

// Private

// close ends the emperor when it has no vassals; else they go on.
func (l *launcher) close() error {
	entries, err := os.ReadDir(l.Enabled())
	if errors.Is(err, fs.ErrNotExist) {
		entries, err = nil, nil // the home is gone
	}
	if err != nil || len(entries) > 0 {
		return err
	}
	return l.emperor.end()
}

func (l *launcher) linkProgram() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if target, err := os.Readlink(l.Starter()); err == nil && target == exe {
		return nil
	}
	return replaceLink(l.Starter(), exe)
}

// name gives an instance the name of its vassal: with its own ordinal, unless
// an instance of another release has it.
func (l *launcher) name(c supervisor.Child) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name, ok := l.names[c.Marker]; ok {
		return name, nil
	}
	taken := make(map[string]bool, len(l.names))
	for _, name := range l.names {
		taken[name] = true
	}
	const most = 10000
	for n := c.Ordinal; n < c.Ordinal+most; n++ {
		name := c.ID.App + "_" + c.Process.Type + "." + strconv.Itoa(n)
		if !taken[name] {
			l.names[c.Marker] = name
			return name, nil
		}
	}
	return "", hop3.Errorf(hop3.CodeUnavailable, "%s has more than %d vassals", c.ID.App, most)
}

func (l *launcher) newOrder(kind string, c supervisor.Child) vassal.Order {
	o := vassal.Order{
		Marker: c.Marker, Kind: kind, Program: l.installation.program,
		Dir: c.Launch.Dir, LogFile: c.LogFile, Socket: c.Socket, Plan: c.Plan,
	}
	if kind == daemon {
		o.Command = c.Argv[len(c.Argv)-1]
	} else if o.Backlog, _ = strconv.Atoi(c.Launch.Env["UWSGI_LISTEN"]); o.Backlog == 0 {
		o.Backlog = 1024
	}
	for _, entry := range c.Env {
		if !strings.HasPrefix(entry, prefix) { // see vassal.env
			o.Env = append(o.Env, entry)
		}
	}
	if env := c.Launch.Env; kind == hop3.ProcessWSGI && env["LANG"]+env["LC_ALL"]+env["LC_CTYPE"] == "" {
		// As the program python does without a locale (PEP 538); the library
		// does not.
		o.Env = append(o.Env, "LC_CTYPE=C.UTF-8")
	}
	return o
}

// write puts a vassal's files in place. It enables it last, and only when all
// the others are there.
func (l *launcher) write(name, text string, o vassal.Order) error {
	encoded, err := json.Marshal(o)
	if err != nil {
		return err
	}
	err = errors.Join(
		vassal.Remove(l.RunFile(name)),
		vassal.Remove(l.Again(name)),
		vassal.ReplaceFile(l.Config(name), []byte(text)),
		vassal.ReplaceFile(l.OrderFile(name), encoded),
		vassal.ReplaceFile(l.Wanted(name), nil),
	)
	if err != nil {
		return err
	}
	return replaceLink(l.Link(name), filepath.Join("..", filepath.Base(l.Available()), name+".ini"))
}

// await tells the emperor, until the instance's main process is known. A
// signal that comes while the emperor is not waiting is lost.
func (l *launcher) await(ctx context.Context, name string) (int, error) {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for n := 0; ; n++ {
		if n%25 == 0 {
			if err := l.emperor.wake(); err != nil {
				return 0, err
			}
		}
		r := vassal.ReadRun(l.RunFile(name))
		switch {
		case r.Failed != "":
			return 0, errors.New(r.Failed)
		case r.PID != 0:
			return r.PID, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for uWSGI to start the vassal %s: %w", name, ctx.Err())
		}
	}
}

// warn says once for each kind that apps run without the plug-in for it.
func (l *launcher) warn(kind string, c supervisor.Child) {
	if kind != daemon || c.Process.Module == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := c.Process.Type; !l.warned[t] {
		l.warned[t] = true
		l.logger.Warn("uWSGI has no plug-in for "+t+" that fits: its command is run instead",
			zap.String("app", c.ID.App), zap.String("package", packages[t]), zap.String("python", l.installation.python))
	}
}

func (l *launcher) missing(c supervisor.Child) error {
	t := c.Process.Type
	if c.Process.Module == "" {
		return hop3.Errorf(hop3.CodeInvalid, "the process %q has no command", t).
			WithHint("Give it one in the Procfile: \"%s: <command>\".", t)
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the process \"%s: %s\" needs a plug-in of uWSGI's that is not installed", t, c.Process.Module).
		WithHint("Let the server's admin install %s, or declare a \"web\" process whose command listens on $PORT.", packages[t])
}

// replaceLink is replaceFile for a symbolic link. The name it has at first is
// none that the emperor looks at.
func replaceLink(path, target string) error {
	tmp := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path)+".tmp")
	if err := errors.Join(vassal.Remove(tmp), os.Symlink(target, tmp)); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
