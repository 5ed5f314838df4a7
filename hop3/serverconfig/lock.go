package serverconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// Lock is the right to be the server of a home. The kernel takes it back when
// the process ends, however it ends.
type Lock struct{ file *os.File }

// LockHome takes the lock of a home that Prepare has made, and writes the
// process's id into it. While another process has it, LockHome returns a
// CodeConflict error naming that one.
func LockHome(home string) (*Lock, error) {
	path := filepath.Join(home, "run", "server.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, homeError(home, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, taken(f, home)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if err := writePID(f); err != nil {
		return nil, errors.Join(homeError(home, err), f.Close())
	}
	return &Lock{file: f}, nil
}

// LockNewHome is LockHome of a home that need not be made yet: it makes it, but
// no secret key in it.
func LockNewHome(home string) (*Lock, error) {
	if err := makeHome(home); err != nil {
		return nil, err
	}
	return LockHome(home)
}

// Close gives the lock back. The file stays: removing it would let two
// processes lock two files of one name.
func (l *Lock) Close() error {
	return errors.Join(l.file.Truncate(0), l.file.Close())
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func taken(f *os.File, home string) error {
	who := ""
	if data, err := io.ReadAll(io.LimitReader(f, 20)); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			who = fmt.Sprintf(" (pid %d)", pid)
		}
	}
	return hop3.Errorf(hop3.CodeConflict, "another Hop3 server%s is running on the home %s", who, home).
		WithHint("Stop it first, or choose another home with --home or HOP3_HOME.")
}
