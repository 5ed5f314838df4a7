package routing

import (
	"sync"
	"sync/atomic"

	"github.com/abilian/hop3/hop3"
)

// entry is an app in the table. A deploy replaces what current points to and
// nothing else.
type entry struct {
	app     string
	current atomic.Pointer[version] // nil once the app is removed
	// prepared is what was last made of one of its routes.
	prepared atomic.Pointer[any]

	// Under Table.mu, with what they point to:
	stats []*stats // of releases, the one that was routed to last at the end
	older *Counts  // of those that are not among them any more; nil for none

	wakes, failedWakes atomic.Uint64
}

// acquire counts a request in on the current version; nil when the app is
// gone. The second look at current makes sure that a version which was
// replaced in between never gets the request: whoever replaced it may already
// have seen its count at 0.
func (e *entry) acquire() *version {
	for {
		v := e.current.Load()
		if v == nil {
			return nil
		}
		v.requests.Add(arrival)
		if e.current.Load() == v {
			return v
		}
		v.release()
	}
}

// version is a route as it was set once, with the requests that went to it.
type version struct {
	route hop3.Route
	// requests counts, in its upper half, those that ever arrived, and in the
	// lower those under way: one addition does both.
	requests atomic.Uint64
	retired  atomic.Bool   // not current any more
	drained  chan struct{} // closed when retired and without requests
	finish   func()        // closes drained, once
	atRetire atomic.Int64  // requests under way when it was retired
	failures atomic.Int64  // of those
	prepared prepared
	canary   *canary // nil for none
	stats    *stats
}

const (
	arrival   = 1<<32 | 1
	departure = ^uint64(0) // -1: there is one to take away
)

func newVersion(r hop3.Route, forget func(*version)) *version {
	v := &version{route: r, drained: make(chan struct{})}
	v.finish = sync.OnceFunc(func() {
		forget(v)
		close(v.drained)
	})
	return v
}

func (v *version) id() hop3.ReleaseID {
	return hop3.ReleaseID{App: v.route.App, Number: v.route.Release}
}

// release counts a request out. The second look at the count makes sure that v
// is not finished under a request that arrived after the count was 0 and before
// v was retired; once it is retired none arrives to stay.
func (v *version) release() {
	if inFlight(v.requests.Add(departure)) == 0 && v.retired.Load() && v.inFlight() == 0 {
		v.finish()
	}
}

// retire says that v is not current any more.
func (v *version) retire() {
	v.atRetire.Store(int64(v.inFlight()))
	v.retired.Store(true)
	if v.inFlight() == 0 {
		v.finish()
	}
}

// inFlight returns the number of requests under way.
func (v *version) inFlight() int { return inFlight(v.requests.Load()) }

func inFlight(requests uint64) int { return int(uint32(requests)) }
