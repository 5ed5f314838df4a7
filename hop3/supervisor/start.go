package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// undoGrace is what instances get to end when another of their release could
// not be started.
const undoGrace = time.Second

// Start implements hop3.Runtime.
func (s *Supervisor) Start(ctx context.Context, launch hop3.Launch) (_ []hop3.Instance, err error) {
	if err := validate(launch); err != nil {
		return nil, err
	}
	for _, p := range launch.Processes {
		if err := s.runnable(launch, p); err != nil {
			return nil, err
		}
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
			started, err := i.start(ctx)
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
func (i *instance) start(ctx context.Context) (started bool, err error) {
	p, err := i.adopt(ctx)
	if err != nil {
		return false, err
	}
	if p == nil {
		started = true
		p, err = i.spawn(ctx)
		if errors.Is(err, hop3.ErrEngineAway) {
			// The engine may start after this server: the instance waits for
			// it, as one that ended does.
			i.update(func(r *record) { r.LastExit = firstLine(err) }, hop3.InstanceBackoff)
			err = nil
		}
		if err != nil {
			return true, err
		}
	}
	return started, i.s.watch(i, p)
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
	if err := s.endAll(ctx, begun[0].id(), begun); err != nil {
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

// runnable refuses a process that only uWSGI could run.
func (s *Supervisor) runnable(l hop3.Launch, p hop3.Process) error {
	switch {
	case l.Container != nil: // without a command it is the image's own
		return nil
	case p.Count <= 0 || s.options.Launcher != nil || strings.TrimSpace(p.Command) != "":
		return nil
	case p.Module == "":
		return hop3.Errorf(hop3.CodeInvalid, "the process %q has no command", p.Type).
			WithHint("Give it one in the Procfile: \"%s: <command>\".", p.Type)
	}
	return hop3.Errorf(hop3.CodeInvalid, "the process \"%s: %s\" needs uWSGI, and this server runs apps without it", p.Type, p.Module).
		WithHint("Let the server's admin install uWSGI and set PROCESS_MANAGER=uwsgi, or declare a \"web\" process whose command listens on $PORT.")
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
