package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// lockTimeout is how long to wait for an earlier server to be gone.
const lockTimeout = 3 * time.Second

// lockDir makes the run directory when there is none, and makes sure that
// nobody else uses it until the file it returns is closed.
//
// A server that was killed may leave a child that has not got to run its
// program: it has no marker yet, so nobody could find it. Such a child still
// holds the lock, which it loses when it runs the program.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	// After the lock, the kernel still needs a moment to show the marker.
	const settle = 20 * time.Millisecond
	for deadline, waited := time.Now().Add(lockTimeout), false; ; waited = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			if waited {
				time.Sleep(settle)
			}
			return f, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, errors.Join(err, f.Close())
		case time.Now().After(deadline):
			return nil, errors.Join(hop3.Errorf(hop3.CodeUnavailable, "another server uses %s", dir), f.Close())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
