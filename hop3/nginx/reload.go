package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3/procfs"
)

// Reload has nginx read its files: new workers take new connections, the old
// ones finish what they have. For a moment both accept, and one by the old
// files would send a client of a new host away; so it waits until the old ones
// have closed their sockets, which they say by their name.
func (*Nginx) Reload(ctx context.Context, pid int) error {
	before, err := workers(pid)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		accepting := 0
		for _, w := range before {
			if now, ok := procfs.Find(w.PID); ok && now.Start == w.Start && !now.Dead && !leaving(w.PID) {
				accepting++
			}
		}
		if accepting == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d workers go on by the files of before", accepting), context.Cause(ctx))
		}
	}
}

// AcceptsEarly returns false: the workers begin when the files are read.
func (*Nginx) AcceptsEarly() bool { return false }

// workers returns the processes of a master that accept connections.
func workers(master int) ([]procfs.Process, error) {
	all, err := procfs.All()
	if err != nil {
		return nil, err
	}
	var found []procfs.Process
	for _, p := range all {
		if p.Parent == master && !p.Dead && !leaving(p.PID) {
			found = append(found, p)
		}
	}
	return found, nil
}

// leaving reports whether a worker only finishes what it has begun.
func leaving(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || bytes.Contains(name, []byte("is shutting down"))
}
