package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
)

// markerVariable names an instance in the environment of all its processes.
const markerVariable = "HOP3_INSTANCE"

// killTimeout bounds how long processes may take to be gone after SIGKILL:
// one in uninterruptible sleep does not go.
const killTimeout = 10 * time.Second

// family is the processes of some instances: their main processes, the
// sessions and process groups of these, all that descends from them and all
// that carries their markers.
type family struct {
	mains   map[int]uint64 // pid -> start time
	markers map[string]bool
	// seen are the members found so far: in a process that is about to end,
	// the marker cannot be read any more.
	seen map[int]uint64
}

func familyOf(boot string, records ...record) family {
	f := family{mains: make(map[int]uint64), markers: make(map[string]bool), seen: make(map[int]uint64)}
	for _, r := range records {
		f.markers[r.Marker] = true
		if r.PID > 1 && r.Boot == boot {
			f.mains[r.PID] = r.Start
		}
	}
	return f
}

// end ends all processes of the family: SIGTERM, then SIGKILL to what is left
// when ctx ends. It returns when none is left.
func (f family) end(ctx context.Context) error {
	if err := f.terminate(); err != nil {
		return err
	}
	for delay := 2 * time.Millisecond; ctx.Err() == nil; delay = min(delay*2, 200*time.Millisecond) {
		if !f.mainsRun() {
			left, err := f.find()
			if err != nil {
				return err
			}
			if len(left) == 0 {
				return nil
			}
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	return f.kill()
}

// terminate asks all processes of the family to end.
func (f family) terminate() error {
	members, err := f.find()
	if err != nil {
		return err
	}
	groups := make(map[int]bool)
	for _, p := range members {
		target := p.PID
		if _, ok := f.mains[p.Group]; ok {
			if groups[p.Group] {
				continue
			}
			groups[p.Group] = true
			target = -p.Group
		}
		_ = unix.Kill(target, unix.SIGTERM) // who cannot be reached here is still there after kill
	}
	return nil
}

// kill kills until none is left: what is killed may just have started another.
func (f family) kill() error {
	deadline := time.Now().Add(killTimeout)
	for delay := time.Millisecond; ; delay = min(delay*2, 100*time.Millisecond) {
		left, err := f.find()
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return stillThere(left)
		}
		for _, p := range left {
			_ = unix.Kill(p.PID, unix.SIGKILL) // the next round sees whether it helped
		}
		time.Sleep(delay)
	}
}

// find returns the processes of the family that run. The server itself is
// never one of them, nor what it started otherwise, nor init.
func (f family) find() ([]procfs.Process, error) {
	all, err := procfs.All()
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	self := os.Getpid()
	all = slices.DeleteFunc(all, func(p procfs.Process) bool {
		return f.reaped(p) || p.Dead || p.PID == self || p.PID == 1
	})
	sessions := make(map[int]bool, len(f.mains))
	for pid := range f.mains {
		sessions[pid] = true
	}
	for _, p := range all {
		// The pid has a new owner, so its old session is empty: the kernel
		// gives no pid away that still names a session or group.
		if start, ok := f.mains[p.PID]; ok && start != p.Start {
			delete(sessions, p.PID)
		}
	}
	members := procfs.Descendants(all, func(p procfs.Process) bool {
		if start, ok := f.seen[p.PID]; ok && start == p.Start || sessions[p.Session] || sessions[p.Group] {
			return true
		}
		marker, ok := procfs.Variable(p.PID, markerVariable)
		return ok && f.markers[marker]
	})
	for _, p := range members {
		f.seen[p.PID] = p.Start
	}
	return members, nil
}

// Private

// mainsRun reports whether a main process runs.
func (f family) mainsRun() bool {
	for pid, start := range f.mains {
		if p, ok := procfs.Find(pid); ok && p.Start == start && !f.reaped(p) {
			return true
		}
	}
	return false
}

// reaped reports whether p is a main process that has ended; when it is our
// child it leaves the process table.
func (f family) reaped(p procfs.Process) bool {
	start, ok := f.mains[p.PID]
	if !ok || !p.Dead || p.Start != start {
		return false
	}
	reap(p.PID)
	return true
}

func stillThere(left []procfs.Process) error {
	var names []string
	for _, p := range left {
		names = append(names, fmt.Sprintf("%d (%s)", p.PID, p.Name))
	}
	return hop3.Errorf(hop3.CodeInternal, "these processes do not end: %s", strings.Join(names, ", "))
}
