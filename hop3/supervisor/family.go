package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/sandbox"
)

// markerVariable names an instance in the environment of all its processes.
const markerVariable = "HOP3_INSTANCE"

// processVariable tells a process which of the app's it is: "web.1", "run".
const processVariable = "HOP3_PROCESS"

// killTimeout bounds how long processes may take to be gone after SIGKILL:
// one in uninterruptible sleep does not go.
const killTimeout = 10 * time.Second

// family is the processes of some instances: their main processes, the
// sessions and process groups of these, all that is in their control groups,
// all that descends from them and all that carries their markers. Without
// control groups a process that left its session, outlived its parent and
// wiped its environment is not found.
type family struct {
	box     *sandbox.Sandbox
	groups  []string
	mains   map[int]uint64 // pid -> start time
	markers map[string]bool
	// seen are the members found so far: in a process that is about to end,
	// the marker cannot be read any more.
	seen map[int]uint64
	// attendants are the ancestors of main processes that a Launcher's program
	// put there. Once the main processes have ended they have nothing to do,
	// and are not waited for.
	attendants map[int]uint64
	// containers are those that the main processes are attached to. They go
	// with the family.
	containers map[string]int // name -> pid
	engine     hop3.ContainerEngine
	remove     func(containers ...string) error
}

func (s *Supervisor) familyOf(records ...record) family {
	f := family{box: s.options.Sandbox, mains: make(map[int]uint64), markers: make(map[string]bool), seen: make(map[int]uint64), attendants: make(map[int]uint64),
		containers: make(map[string]int), engine: s.options.Containers, remove: s.removeContainers}
	for _, r := range records {
		f.markers[r.Marker] = true
		f.groups = append(f.groups, s.groupOf(&r))
		if r.Container != "" {
			f.containers[r.Container] = r.PID
		}
		if r.PID > 1 && r.Boot == s.states.boot {
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
	gone, err := f.await(ctx)
	if err != nil {
		return err
	}
	if gone {
		return f.removeContainers()
	}
	return f.kill()
}

// await reports whether all processes of the family end before ctx does.
func (f family) await(ctx context.Context) (gone bool, err error) {
	for delay := 2 * time.Millisecond; ctx.Err() == nil; delay = min(delay*2, 200*time.Millisecond) {
		if !f.mainsRun() {
			f.dismiss()
			left, err := f.find()
			if err != nil || len(left) == 0 {
				return err == nil, err
			}
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	return false, nil
}

// terminate asks all processes of the family to end.
func (f family) terminate() error {
	members, err := f.find()
	if err != nil {
		return err
	}
	f.attend(members)
	groups := f.terminateContainers()
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

// kill kills until none is left, and removes the containers.
func (f family) kill() error {
	err := f.killProcesses()
	return errors.Join(err, f.removeContainers())
}

func (f family) removeContainers() error {
	return f.remove(slices.Collect(maps.Keys(f.containers))...)
}

// killProcesses kills until none is left: what is killed may just have started
// another.
func (f family) killProcesses() error {
	deadline := time.Now().Add(killTimeout)
	f.killGroups(deadline)
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
	grouped, err := f.grouped()
	if err != nil {
		return nil, err
	}
	members := procfs.Descendants(all, func(p procfs.Process) bool {
		if grouped[p.PID] {
			return true
		}
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

// grouped returns the processes in the family's control groups.
func (f family) grouped() (map[int]bool, error) {
	if f.box == nil {
		return nil, nil
	}
	grouped := make(map[int]bool)
	for _, g := range f.groups {
		pids, err := f.box.Pids(g)
		if err != nil {
			return nil, fmt.Errorf("listing the processes of %s: %w", g, err)
		}
		for _, pid := range pids {
			grouped[pid] = true
		}
	}
	return grouped, nil
}

// attend notes which members are the ancestors of main processes.
func (f family) attend(members []procfs.Process) {
	byPID := make(map[int]procfs.Process, len(members))
	for _, p := range members {
		byPID[p.PID] = p
	}
	for main := range f.mains {
		for p, ok := byPID[byPID[main].Parent]; ok && f.attendants[p.PID] == 0; p, ok = byPID[p.Parent] {
			f.attendants[p.PID] = p.Start
		}
	}
}

// dismiss ends the ancestors of main processes that have ended.
func (f family) dismiss() {
	for pid, start := range f.attendants {
		if p, ok := procfs.Find(pid); ok && !p.Dead && p.Start == start {
			_ = unix.Kill(pid, unix.SIGKILL) // await sees whether it helped
		}
	}
}

// killGroups kills what is in the family's control groups, which nothing can
// outrun. The rest, and whether it helped, is seen to by kill.
func (f family) killGroups(deadline time.Time) {
	if f.box == nil {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for _, g := range f.groups {
		_ = f.box.Kill(ctx, g)
	}
}

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
