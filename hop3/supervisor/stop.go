package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Stop implements hop3.Runtime.
func (s *Supervisor) Stop(ctx context.Context, id hop3.ReleaseID, grace time.Duration) error {
	return s.end(ctx, id, grace, func(record) bool { return true })
}

// Private

// end ends the chosen instances of a release.
func (s *Supervisor) end(ctx context.Context, id hop3.ReleaseID, grace time.Duration, chosen func(record) bool) error {
	if err := validateID(id); err != nil {
		return err
	}
	// The stop itself is not cut short.
	unlock, err := s.lock(context.WithoutCancel(ctx), id)
	if err != nil {
		return err
	}
	defer unlock()
	if s.ctx.Err() != nil {
		return errClosed
	}
	records, err := s.states.release(id)
	if err != nil {
		return fmt.Errorf("reading the state of %s: %w", name(id), err)
	}
	// What is in memory is newer than what could be written down.
	for _, i := range s.letGo(id, func(i *instance) bool { return chosen(i.record()) }) {
		r := i.record()
		records = slices.DeleteFunc(records, func(old record) bool { return old.Marker == r.Marker })
		records = append(records, r)
	}
	records = slices.DeleteFunc(records, func(r record) bool { return !chosen(r) })
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := s.endAll(ctx, id, records); err != nil {
		return fmt.Errorf("stopping %s: %w", name(id), err)
	}
	return nil
}

// letGo stops watching the chosen instances of a release and returns them.
// Nobody starts them again after it.
func (s *Supervisor) letGo(id hop3.ReleaseID, chosen func(*instance) bool) []*instance {
	s.mu.Lock()
	var gone, kept []*instance
	for _, i := range s.releases[id] {
		if chosen(i) {
			gone = append(gone, i)
		} else {
			kept = append(kept, i)
		}
	}
	if len(kept) > 0 {
		s.releases[id] = kept
	} else {
		delete(s.releases, id)
	}
	s.mu.Unlock()
	for _, i := range gone {
		i.cancel()
	}
	for _, i := range gone {
		<-i.done
	}
	return gone
}

// endAll ends all processes of instances of a release that nobody watches, and
// forgets them. ctx bounds their grace. When some do not end, all are
// remembered.
func (s *Supervisor) endAll(ctx context.Context, id hop3.ReleaseID, records []record) error {
	if len(records) == 0 {
		return nil
	}
	children := make([]Child, len(records))
	for n, r := range records {
		children[n] = r.child()
	}
	if err := s.forget(context.WithoutCancel(ctx), children...); err != nil {
		return err
	}
	if err := s.familyOf(records...).end(ctx); err != nil {
		return err
	}
	var errs []error
	for _, r := range records {
		errs = append(errs, s.states.remove(&r))
		s.ports.release(r.Port, r.Marker)
		s.logs.Unwatch(r.LogFile, r.Marker)
		s.removeGroup(s.groupOf(&r))
	}
	left, err := s.states.release(id)
	if err == nil && len(left) == 0 {
		s.removeGroup(s.releaseGroup(id))
	}
	return errors.Join(append(errs, err)...)
}
