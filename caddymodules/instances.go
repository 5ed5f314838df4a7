package caddymodules

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3/routing"
)

const (
	// failureLasts is for how long an instance that failed is passed over.
	failureLasts = 2 * time.Second
	// idleLasts is how long a connection to an instance is kept without a
	// request. The servers of the languages we run close theirs after 2 to 5 s:
	// a request sent into a connection that is being closed is lost unless it
	// is safe to repeat.
	idleLasts = 1500 * time.Millisecond
	// idleMost is how many such connections an instance has.
	idleMost = 256
	// sweepEvery is how often instances that nobody asks are looked after.
	sweepEvery = 500 * time.Millisecond
)

// instances is what is known of the instances that requests go to: how many
// requests are under way to each, which of them failed, and the connections
// that wait for the next request. Its methods are safe for concurrent use.
type instances struct {
	mu     sync.Mutex
	known  map[string]*instance // by dial address; nothing is kept of one that is not asked any more
	sweeps *time.Timer          // nil while nothing is known
}

// instance is one of them. Its fields are those of the instances' lock.
type instance struct {
	dial     string
	requests int
	failed   time.Time // when last; zero: not lately
	idle     []*appConn
}

// instancePool has the instances of a routing table, so that all servers, and
// a configuration and the next, know the same of them.
var instancePool = caddy.NewUsagePool()

// instancesOf returns the instances of a table. Its caller lets go of them by
// forgetInstances.
func instancesOf(table *routing.Table) (*instances, error) {
	made, _, err := instancePool.LoadOrNew(table, func() (caddy.Destructor, error) {
		return &instances{known: map[string]*instance{}}, nil
	})
	if err != nil {
		return nil, err
	}
	return made.(*instances), nil
}

func forgetInstances(table *routing.Table) error {
	_, err := instancePool.Delete(table)
	return err
}

// Destruct closes the connections.
func (s *instances) Destruct() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.known {
		i.closeIdle(len(i.idle))
	}
	return nil
}

// begin counts a request to an instance in. It is counted out by end.
func (s *instances) begin(dial string) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.known[dial]
	if i == nil {
		i = &instance{dial: dial}
		s.known[dial] = i
		if s.sweeps == nil {
			s.sweeps = time.AfterFunc(sweepEvery, s.sweep)
		}
	}
	i.requests++
	return i
}

func (s *instances) end(i *instance, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.requests--
	if failed {
		i.failed = time.Now()
	}
}

// idleConn returns the connection that was used last, nil for none.
func (s *instances) idleConn(i *instance) *appConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(i.idle) - 1
	if last < 0 {
		return nil
	}
	c := i.idle[last]
	i.idle[last] = nil
	i.idle = i.idle[:last]
	return c
}

// keep has a connection wait for the next request. It is called before the end
// of the one that it was for.
func (s *instances) keep(i *instance, c *appConn) {
	c.since = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(i.idle) >= idleMost {
		i.closeIdle(1) // the oldest
	}
	i.idle = append(i.idle, c)
}

// dropIdle closes the connections of an instance that has closed one of them:
// it has probably ended.
func (s *instances) dropIdle(i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.closeIdle(len(i.idle))
}

// well reports whether an instance has not failed lately.
func (s *instances) well(dial string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.known[dial]
	return i == nil || time.Since(i.failed) >= failureLasts
}

// leastBusy returns the one of several instances with the fewest requests
// among those that did not just fail. When all did, it is one of them anyway:
// an instance that was restarted answers again sooner than its failure is
// forgotten.
func (s *instances) leastBusy(dials []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, best, least, equal := time.Now(), "", 0, 0
	for _, dial := range dials {
		requests := 0
		if i := s.known[dial]; i != nil {
			if now.Sub(i.failed) < failureLasts {
				continue
			}
			requests = i.requests
		}
		switch {
		case best == "" || requests < least:
			best, least, equal = dial, requests, 1
		case requests == least:
			if equal++; rand.IntN(equal) == 0 {
				best = dial
			}
		}
	}
	if best == "" {
		best = dials[rand.IntN(len(dials))]
	}
	return best
}

// sweep closes what has been idle for too long, and forgets the instances that
// there is nothing to know of.
func (s *instances) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for dial, i := range s.known {
		old := 0
		for old < len(i.idle) && now.Sub(i.idle[old].since) >= idleLasts {
			old++
		}
		i.closeIdle(old)
		if i.requests == 0 && len(i.idle) == 0 && now.Sub(i.failed) >= failureLasts {
			delete(s.known, dial)
		}
	}
	if len(s.known) == 0 {
		s.sweeps = nil
		return
	}
	s.sweeps.Reset(sweepEvery)
}

// closeIdle closes the n oldest idle connections. The caller has the lock.
func (i *instance) closeIdle(n int) {
	for _, c := range i.idle[:n] {
		_ = c.Close() // nothing is under way on it
	}
	i.idle = slices.Delete(i.idle, 0, n)
}
