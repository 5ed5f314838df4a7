package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
)

// undoGrace is what instances get to end when another of their release could
// not be started.
const undoGrace = time.Second

// Start implements hop3.Runtime.
func (s *Supervisor) Start(ctx context.Context, launch hop3.Launch) (_ []hop3.Instance, err error) {
	if err := validate(launch); err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx, launch.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.ctx.Err() != nil {
		return nil, errClosed
	}

	var begun []record
	defer func() {
		if err != nil && len(begun) > 0 {
			err = errors.Join(err, s.undo(begun))
		}
	}()
	l := own(launch)
	for _, p := range l.Processes {
		for ordinal := 1; ordinal <= p.Count; ordinal++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			i := s.newInstance(l, p, ordinal)
			if s.holds(i) {
				continue
			}
			started, err := i.start()
			if started {
				begun = append(begun, i.record())
			}
			if err != nil {
				return nil, fmt.Errorf("starting %s.%d of %s: %w", p.Type, ordinal, name(l.ID), err)
			}
		}
	}
	return s.Instances(ctx, l.ID)
}

// Private

// start adopts the instance when it runs already, else starts it; started says
// that there may be something to undo.
func (i *instance) start() (started bool, err error) {
	p, err := i.adopt()
	if err != nil {
		return false, err
	}
	if p == nil {
		started = true
		if p, err = i.spawn(); err != nil {
			return true, err
		}
	}
	return started, i.s.watch(i, p)
}

// adopt returns the process of the instance that an earlier server left
// running, or nil. What else is left of the instance is ended.
func (i *instance) adopt() (*process, error) {
	r := i.record()
	old, err := i.s.states.load(i.launch.ID, r.Type, r.Ordinal)
	if err != nil {
		return nil, fmt.Errorf("reading the instance's state: %w", err)
	}
	if old == nil {
		return nil, nil
	}
	if old.Boot == i.s.states.boot || old.Boot == "" {
		if err := old.identify(i.s.states.boot); err != nil {
			return nil, err
		}
		if p, ok := openProcess(old.PID, old.Start); ok {
			i.update(func(rec *record) { *rec = *old }, hop3.InstanceRunning)
			i.s.logs.Watch(old.LogFile, i.marker)
			return p, i.s.states.save(old)
		}
		if err := familyOf(i.s.states.boot, *old).kill(); err != nil {
			return nil, err
		}
	}
	i.update(func(rec *record) {
		rec.Restarts, rec.LastExit, rec.Port = old.Restarts, old.LastExit, 0
		if old.PID != 0 {
			rec.Restarts++
			rec.LastExit = "unknown"
		}
	}, hop3.InstanceStopped)
	if servesHTTP(r.Type) {
		port, err := i.s.ports.lease(i.marker, old.Port)
		if err != nil {
			return nil, err
		}
		i.update(func(rec *record) { rec.Port = port }, hop3.InstanceStopped)
	}
	return nil, nil
}

// identify completes a record that was written before the process started, by
// a server that did not live to write it again: the process is the first leader
// of a session that carries the marker.
func (r *record) identify(boot string) error {
	if r.PID != 0 {
		return nil
	}
	members, err := familyOf(boot, *r).find()
	if err != nil {
		return err
	}
	members = slices.DeleteFunc(members, func(p procfs.Process) bool { return p.Session != p.PID })
	if len(members) == 0 || r.LogFile == "" {
		return nil
	}
	main := slices.MinFunc(members, func(a, b procfs.Process) int { return cmp.Compare(a.Start, b.Start) })
	r.PID, r.Start, r.Boot, r.StartedAt = main.PID, main.Start, boot, time.Now()
	return nil
}

// undo ends what a Start that failed has begun.
func (s *Supervisor) undo(begun []record) error {
	markers := make(map[string]bool)
	for _, r := range begun {
		markers[r.Marker] = true
	}
	s.letGo(begun[0].id(), func(i *instance) bool { return markers[i.marker] })
	ctx, cancel := context.WithTimeout(context.Background(), undoGrace)
	defer cancel()
	if err := s.endAll(ctx, begun); err != nil {
		s.logger.Error("stopping a release that could not be started", zap.Error(err))
		return err
	}
	return nil
}

func (s *Supervisor) holds(i *instance) bool {
	return slices.ContainsFunc(s.held(i.launch.ID), func(h *instance) bool { return h.marker == i.marker })
}

// own returns a copy that the caller cannot change any more: instances are
// started again from it.
func own(l hop3.Launch) *hop3.Launch {
	l.Env = l.Env.Clone()
	l.Path = slices.Clone(l.Path)
	l.Processes = slices.Clone(l.Processes)
	return &l
}

func validate(l hop3.Launch) error {
	if err := validateID(l.ID); err != nil {
		return err
	}
	for _, p := range l.Processes {
		if err := hop3.ValidateProcessType(p.Type); err != nil {
			return err
		}
	}
	for _, k := range l.Env.Keys() {
		if err := hop3.ValidateEnvKey(k); err != nil {
			return err
		}
		if err := hop3.ValidateEnvValue(k, l.Env[k]); err != nil {
			return err
		}
	}
	return nil
}

// validateID keeps out what would lead out of the run directory.
func validateID(id hop3.ReleaseID) error {
	if err := hop3.ValidateAppName(id.App); err != nil {
		return err
	}
	if id.Number < 0 {
		return hop3.Errorf(hop3.CodeInvalid, "%d is not a release's number", id.Number)
	}
	return nil
}
