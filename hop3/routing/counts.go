package routing

import (
	"slices"
	"sync/atomic"
	"time"
)

// Older is the Release of Counts in which those of several are added up.
const Older = -1

// keptCounts is how many releases of an app have counts of their own: the last
// that were routed to. Those before are added to Older, so that what an app has
// answered in all never becomes less.
const keptCounts = 5

// Class is the kind of answer a request got: 1 to 5 for the first digit of its
// status, 0 for none, because the client left before it began.
type Class int

// classCount is how many classes there are.
const classCount = 6

// Counts is what became of the requests to a release.
type Counts struct {
	Release  int // 0 for an app's page while none runs, or Older
	InFlight int
	Requests [classCount]uint64 // by Class
	// Times holds how many took as long as each of TimeBounds and longer than
	// the one before, then those that took longer than all.
	Times    [timeSlots]uint64
	Took     time.Duration // all together
	Received uint64        // bytes of bodies
	Sent     uint64
}

// AppCounts is what became of the requests to an app since its first route was
// set.
type AppCounts struct {
	App         string
	Releases    []Counts // those that were routed to last come last; Older, if any, is the first
	Held        int      // requests that wait for the app to wake
	Wakes       uint64   // that the app was woken
	FailedWakes uint64   // and was not
}

// Count notes how a request ended: with its status, 0 for none, the time it
// took, and the bytes of both bodies. It is called once, before Release.
func (c *Claim) Count(status int, took time.Duration, received, sent int64) {
	n := c.version.stats.counts()
	n.requests[classOf(status)].Add(1)
	n.times[slotOf(took)].Add(1)
	n.took.Add(uint64(max(took, 0)))
	if received > 0 {
		n.received.Add(uint64(received))
	}
	if sent > 0 {
		n.sent.Add(uint64(sent))
	}
}

// Counts returns the counts of every app.
func (t *Table) Counts() []AppCounts {
	held := t.wakes.allHeld()
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]AppCounts, 0, len(t.apps))
	for app, e := range t.apps {
		c := AppCounts{App: app, Held: held[app], Wakes: e.wakes.Load(), FailedWakes: e.failedWakes.Load()}
		c.Releases = t.countsOf(e)
		all = append(all, c)
	}
	return all
}

// Private

func classOf(status int) Class {
	if status < 100 || status > 599 {
		return 0
	}
	return Class(status / 100)
}

// live is Counts as they grow.
type live struct {
	requests       [classCount]atomic.Uint64
	times          [timeSlots]atomic.Uint64
	took           atomic.Uint64 // nanoseconds
	received, sent atomic.Uint64
}

// stats is the counts of one release of an app. They are its versions', however
// often its route is set.
type stats struct {
	owner   *entry
	release int
	made    atomic.Pointer[live] // nil before the first request
	// Under Table.mu:
	versions int // that may still count
	lately   []sample
}

func (s *stats) counts() *live {
	if n := s.made.Load(); n != nil {
		return n
	}
	s.made.CompareAndSwap(nil, new(live))
	return s.made.Load()
}

// addTo adds what was counted to c.
func (s *stats) addTo(c *Counts) {
	n := s.made.Load()
	if n == nil {
		return
	}
	for i := range n.requests {
		c.Requests[i] += n.requests[i].Load()
	}
	for i := range n.times {
		c.Times[i] += n.times[i].Load()
	}
	c.Took += time.Duration(n.took.Load())
	c.Received += n.received.Load()
	c.Sent += n.sent.Load()
}

func (c *Counts) add(o *Counts) {
	for i, n := range o.Requests {
		c.Requests[i] += n
	}
	for i, n := range o.Times {
		c.Times[i] += n
	}
	c.InFlight += o.InFlight
	c.Took += o.Took
	c.Received += o.Received
	c.Sent += o.Sent
}

// statsFor returns the counts of a release, which is routed to from now on, for
// one more version. The caller holds the table's lock.
func (e *entry) statsFor(release int) *stats {
	s := &stats{owner: e, release: release}
	if i := slices.IndexFunc(e.stats, func(s *stats) bool { return s.release == release }); i >= 0 {
		s = e.stats[i]
		e.stats = slices.Delete(e.stats, i, i+1)
	}
	e.stats = append(e.stats, s)
	s.versions++
	e.fold()
	return s
}

// fold adds the counts of releases from long ago together, once nothing counts
// there any more. The caller holds the table's lock.
func (e *entry) fold() {
	cut := max(0, len(e.stats)-keptCounts)
	left := slices.DeleteFunc(slices.Clone(e.stats[:cut]), func(s *stats) bool {
		if s.versions > 0 {
			return false
		}
		if e.older == nil {
			e.older = &Counts{Release: Older}
		}
		s.addTo(e.older)
		return true
	})
	e.stats = append(left, e.stats[cut:]...)
}

// countsOf returns the counts of an app. The caller holds the lock.
func (t *Table) countsOf(e *entry) []Counts {
	flying := t.flying(e)
	var out []Counts
	if e.older != nil {
		out = append(out, *e.older)
	}
	for i, s := range e.stats {
		c := Counts{Release: s.release, InFlight: flying[s]}
		s.addTo(&c)
		if i >= len(e.stats)-keptCounts {
			out = append(out, c)
			continue
		}
		if len(out) == 0 {
			out = append(out, Counts{Release: Older})
		}
		out[0].add(&c)
	}
	return out
}

// flying returns the requests under way by where they will be counted. The
// caller holds the lock.
func (t *Table) flying(e *entry) map[*stats]int {
	flying := make(map[*stats]int, 1)
	add := func(v *version) {
		if n := v.inFlight(); n > 0 {
			flying[v.stats] += n
		}
	}
	if v := e.current.Load(); v != nil {
		add(v)
		if v.canary != nil {
			add(v.canary.version)
		}
	}
	for _, v := range t.retired[e.app] {
		if v.stats.owner == e {
			add(v)
		}
	}
	return flying
}
