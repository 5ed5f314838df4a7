package vassal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3/logfile"
)

// Program is the name by which the emperor runs this program to start a vassal.
const Program = "hop3-vassal"

// As git's hook does, this answers in an init: a Caddy built by xcaddy has a
// main that does not know of it.
func init() {
	if filepath.Base(os.Args[0]) == Program {
		os.Exit(Main())
	}
}

// Main starts a vassal: it takes on the place and the environment of the
// instance that its argument names, and becomes uWSGI. It returns, with the
// program's exit status, only when there is nothing to start or that failed.
//
// The emperor calls it in its directory, with the arguments that uWSGI would
// have: --ini <name>.ini.
func Main() int {
	name := ""
	for _, arg := range os.Args[1:] {
		if base, ok := strings.CutSuffix(filepath.Base(arg), ".ini"); ok {
			name = base
		}
	}
	// <home>/run/emperor/bin/hop3-vassal
	home := filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(os.Args[0]))))
	s := &start{Place: Place{home}, name: name}
	if err := s.do(); err != nil {
		fmt.Fprintf(os.Stderr, "hop3: starting the vassal %q: %v\n", name, err)
		s.fail(err)
		return 1
	}
	return 0
}

// The descriptors that a vassal inherits; see Main.
const (
	ConfigFD = 50 // its file
	SocketFD = 51 // the listening socket of one that serves HTTP itself
)

// Private

// start is one start of a vassal.
type start struct {
	Place
	name  string
	asked bool // by a launcher that waits for it
}

// do returns nil when nothing is to be started.
func (s *start) do() error {
	if s.name == "" {
		return errors.New("the emperor named no vassal")
	}
	ok, err := s.permitted()
	if !ok || err != nil {
		return err
	}
	o, err := s.Take(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // forgotten meanwhile
	}
	if err != nil {
		return err
	}
	return s.become(o)
}

const (
	// LockFile, in run/emperor, has the name of the file that a living server
	// holds a lock on.
	LockFile = "server-lock"
	// serverWait is how long a server may take to forget or start again an
	// instance that ended.
	serverWait = 2 * time.Second
)

// permitted reports whether the vassal may be started. While a server lives,
// only when that asks for it: the server starts again what ended, after a
// pause. Without one, the emperor does, and the pauses are these.
func (s *start) permitted() (bool, error) {
	if s.consume() {
		return true, nil
	}
	pause, err := s.pause()
	if err != nil {
		return false, err
	}
	served := time.Now()
	for deadline := time.Now().Add(pause); ; time.Sleep(10 * time.Millisecond) {
		if s.consume() {
			return true, nil
		}
		if _, err := os.Lstat(s.Link(s.name)); err != nil {
			return false, nil
		}
		alive, err := s.serverLives()
		switch {
		case err != nil:
			return false, err
		case !alive && time.Now().After(deadline):
			return true, nil
		case !alive:
			served = time.Now()
		case time.Since(served) > serverWait:
			// The server does not run apps by uWSGI any more.
			return false, errors.Join(Remove(s.Link(s.name)), s.Forget(s.name))
		}
	}
}

// consume takes the launcher's wish, which only one start can have.
func (s *start) consume() bool {
	s.asked = os.Remove(s.Wanted(s.name)) == nil
	return s.asked
}

// The pauses before a vassal is started again, as those of the supervisor.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
	longRun    = time.Minute
)

// pause returns how long to wait before a start that no server asked for, and
// notes it.
func (s *start) pause() (time.Duration, error) {
	count := 0
	if info, err := os.Stat(s.Again(s.name)); err == nil && time.Since(info.ModTime()) < longRun+lastPause {
		text, err := os.ReadFile(s.Again(s.name))
		if err != nil {
			return 0, err
		}
		count, _ = strconv.Atoi(string(text)) // a torn file counts as the first
	}
	pause := min(firstPause<<min(count, 20), lastPause)
	if _, err := os.Stat(s.OrderFile(s.name)); err != nil {
		return pause, nil // it is being forgotten
	}
	return pause, ReplaceFile(s.Again(s.name), []byte(strconv.Itoa(count+1)))
}

func (s *start) serverLives() (bool, error) {
	name, err := os.ReadFile(filepath.Join(s.Dir(), LockFile))
	if err != nil {
		return false, err
	}
	f, err := os.OpenFile(string(name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// become turns this process into the vassal. The descriptors that it is to
// have are beyond those that the Go runtime uses.
func (s *start) become(o *LockedOrder) error {
	config, err := os.Open(s.Config(s.name))
	if err != nil {
		return err
	}
	log, err := logfile.Open(o.LogFile)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	run, err := s.openRun()
	if err != nil {
		return err
	}
	descriptors := map[int]int{0: int(run.Fd()), 1: int(log.Fd()), 2: int(log.Fd()), ConfigFD: int(config.Fd())}
	if o.Socket != "" {
		if descriptors[SocketFD], err = listen(o.Socket, o.Backlog); err != nil {
			return fmt.Errorf("listening on %s: %w", o.Socket, err)
		}
	}
	for to, from := range descriptors {
		if err := unix.Dup3(from, to, 0); err != nil {
			return fmt.Errorf("passing a descriptor: %w", err)
		}
	}
	s.leaveEmperor()
	_, _ = unix.Setsid() // it fails only for who leads a session already
	argv, env := o.arguments()
	return o.Plan.ExecIn(o.Dir, argv, env)
}

// openRun opens the file that the keeper writes to. Of the run before, what the
// next server is to know is kept.
func (s *start) openRun() (*os.File, error) {
	before := ReadRun(s.RunFile(s.name))
	f, err := os.OpenFile(s.RunFile(s.name), os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_RDWR, 0o600)
	if err == nil && before.Ended && !s.asked {
		_, err = fmt.Fprintf(f, "before %d\n", before.Exit+1)
	}
	return f, err
}

// arguments are the program that the vassal is, and its environment.
func (o *Order) arguments() (argv, env []string) {
	uwsgi := []string{o.Program, "--ini", "fd://" + strconv.Itoa(ConfigFD)}
	if o.Kind == Daemon {
		return uwsgi, append(o.Env, KeeperVariable+"="+daemonKeeper, commandVariable+"="+o.Command)
	}
	return append([]string{"/bin/sh", "-c", vassalKeeper, "hop3"}, uwsgi...), o.Env
}

// leaveEmperor closes the channel that the emperor gives its vassals. By that
// it would stop them when their file goes, and they would end when it ends.
func (s *start) leaveEmperor() {
	if fd, err := strconv.Atoi(os.Getenv("UWSGI_EMPEROR_FD")); err == nil && fd > 2 && fd != ConfigFD && fd != SocketFD {
		_ = unix.Close(fd)
	}
}

// fail tells the launcher why there is no vassal.
func (s *start) fail(why error) {
	if !s.asked {
		return
	}
	text, _, _ := strings.Cut(why.Error(), "\n")
	if err := os.WriteFile(s.RunFile(s.name), []byte("failed "+text+"\n"), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "hop3:", err)
	}
}

// listen makes a unix socket that only the server's user can connect to.
func listen(path string, backlog int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := Remove(path); err != nil {
		return -1, err
	}
	old := unix.Umask(0o177)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	unix.Umask(old)
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	return fd, err
}
