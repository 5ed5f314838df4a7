package supervisor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
)

// adopt returns the process of the instance that an earlier server left
// running, or nil. What else is left of the instance is ended.
func (i *instance) adopt(ctx context.Context) (*process, error) {
	r := i.record()
	old, err := i.s.states.load(i.launch.ID, r.Type, r.Ordinal)
	if err != nil {
		return nil, fmt.Errorf("reading the instance's state: %w", err)
	}
	if old == nil {
		return nil, nil
	}
	exit := ""
	if old.Boot == i.s.states.boot || old.Boot == "" {
		p, err := i.find(old)
		if p != nil || err != nil {
			return p, err
		}
		if old.Container != "" && old.PID != 0 {
			exit = i.lastExit(old) // the container knows, as long as it is there
		}
		if err := i.s.forget(ctx, old.child()); err != nil {
			return nil, err
		}
		if err := i.s.familyOf(*old).kill(); err != nil {
			return nil, err
		}
	}
	rec := r
	rec.Restarts, rec.LastExit, rec.Exits = old.Restarts, old.LastExit, old.Exits
	if old.PID != 0 {
		rec.Restarts++
		if exit == "" {
			exit = i.lastExit(old)
		}
		rec.ends(exit, time.Time{})
	}
	if hop3.ServesHTTP(r.Type) && old.Port != 0 {
		if rec.Port, err = i.s.ports.lease(i.marker, old.Port); err != nil {
			return nil, err
		}
	}
	i.update(func(r *record) { *r = rec }, hop3.InstanceStopped)
	return nil, nil
}

// Private

// find returns the process of a record that runs, and makes the record the
// instance's. With a Launcher it may be another process than the one that was
// written down: its program started the instance again meanwhile.
func (i *instance) find(old *record) (*process, error) {
	if err := i.s.identify(old); err != nil {
		return nil, err
	}
	p, ok := openProcess(old.PID, old.Start)
	if !ok && i.s.launcher(old) != nil && old.PID != 0 {
		found := *old
		found.PID = 0
		if err := i.s.identify(&found); err != nil {
			return nil, err
		}
		if p, ok = openProcess(found.PID, found.Start); ok {
			found.Restarts++
			found.ends(i.lastExit(old), time.Time{})
			*old = found
		}
	}
	if !ok {
		return nil, nil
	}
	// What was killed of a main process that runs was not the main process.
	old.OOMKills = i.s.oomKills(i.group)
	i.update(func(r *record) { *r = *old }, hop3.InstanceRunning)
	i.s.logs.Watch(old.LogFile, i.marker)
	return p, i.s.states.save(old)
}

// lastExit says how a run ended that nobody watched.
func (i *instance) lastExit(old *record) string {
	switch {
	case old.Boot == i.s.states.boot && i.s.oomKills(i.group) > old.OOMKills:
		return outOfMemory(i.launch.Limits)
	case old.Container != "":
		return i.s.containerExit(old.Container, i.launch.Limits)
	case i.s.options.Launcher != nil:
		return i.s.options.Launcher.Exit(old.child())
	}
	return "unknown"
}

// identify completes a record whose process is not known: that of a server
// that did not live to write it again. It is the one that the Launcher knows;
// without, of the processes that are the instance's but no child of another,
// the first that leads a session.
func (s *Supervisor) identify(r *record) error {
	if r.PID != 0 || r.LogFile == "" {
		return nil
	}
	f := s.familyOf(*r)
	members, err := f.find()
	if err != nil {
		return err
	}
	// Anybody can carry a marker; nobody gets into another's group.
	if grouped, err := f.grouped(); err != nil {
		return err
	} else if len(grouped) > 0 {
		members = slices.DeleteFunc(members, func(p procfs.Process) bool { return !grouped[p.PID] })
	}
	members = slices.DeleteFunc(members, func(p procfs.Process) bool { return !s.leads(p, r) })
	if len(members) == 0 {
		return nil
	}
	main := slices.MinFunc(members, func(a, b procfs.Process) int { return cmp.Compare(a.Start, b.Start) })
	r.PID, r.Start, r.Boot, r.StartedAt = main.PID, main.Start, s.states.boot, time.Now()
	return nil
}

// leads reports whether a process of an instance can be its main one.
func (s *Supervisor) leads(p procfs.Process, r *record) bool {
	if l := s.launcher(r); l != nil {
		if pid, ok := l.Find(r.child()); ok {
			return p.PID == pid
		}
	}
	return p.Session == p.PID
}
