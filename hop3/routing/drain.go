package routing

import (
	"context"
	"fmt"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// Drain waits until no request is under way to a release that is not routed
// to any more. See hop3.Proxy. WebSockets and long responses count until their
// end. For the release that is current it returns a CodeConflict error.
func (t *Table) Drain(ctx context.Context, id hop3.ReleaseID) error {
	t.mu.Lock()
	e := t.apps[id.App]
	t.mu.Unlock()
	if e != nil {
		if v := e.current.Load(); v != nil && v.route.Release == id.Number {
			return hop3.Errorf(hop3.CodeConflict, "v%d of '%s' is the release that requests go to", id.Number, id.App)
		}
	}
	return t.DrainEarlier(ctx, id)
}

// DrainEarlier waits until no request is under way that went to an earlier
// route of the release than the one of now. See hop3.Meter.
func (t *Table) DrainEarlier(ctx context.Context, id hop3.ReleaseID) error {
	t.mu.Lock()
	waiting := slices.Clone(t.retired[id.App])
	t.mu.Unlock()
	waiting = slices.DeleteFunc(waiting, func(v *version) bool { return v.route.Release != id.Number })
	for _, v := range waiting {
		select {
		case <-v.drained:
		case <-ctx.Done():
			return fmt.Errorf("draining v%d of %s, %d requests left: %w", id.Number, id.App, v.inFlight(), context.Cause(ctx))
		}
	}
	return nil
}
