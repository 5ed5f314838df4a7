package routing

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/abilian/hop3/hop3"
)

// canary is the release that is tried out beside a version's own. It lives as
// long as versions of its app name it, so that its figures do not begin anew
// when the route of the live release changes.
type canary struct {
	version *version // of its own, with its own count of requests
	asked   atomic.Int64
	failed  atomic.Int64
	times   [timeBuckets]atomic.Int64
}

// The times are counted in buckets, each 1.25 times as long as the one before:
// from a tenth of a millisecond to some hours.
const (
	timeBuckets = 80
	firstBucket = 100 * time.Microsecond
	growth      = 1.25
)

func bucketOf(d time.Duration) int {
	if d <= firstBucket {
		return 0
	}
	return min(int(math.Ceil(math.Log(float64(d)/float64(firstBucket))/math.Log(growth))), timeBuckets-1)
}

func bucketEnd(i int) time.Duration {
	return time.Duration(float64(firstBucket) * math.Pow(growth, float64(i)))
}

// canaryFor returns the canary of a route that is about to take another one's
// place: the same if it names the same. The caller holds the lock.
func (t *Table) canaryFor(r hop3.Route, old *version) *canary {
	c := r.Canary
	switch {
	case c == nil:
		return nil
	case old != nil && old.route.Canary == c:
		return old.canary
	}
	return &canary{version: newVersion(hop3.Route{App: r.App, Release: c.Release, Hosts: r.Hosts, Upstreams: slices.Clone(c.Upstreams), Names: slices.Clone(c.Names), Static: c.Static,
		AllowHTTP: r.AllowHTTP, Policy: c.Policy, Dir: c.Dir}, t.forget)}
}

// dropped returns the version that was tried out beside v and is no more
// beside next; nil for none.
func (v *version) dropped(next *version) *version {
	if v.canary == nil || next != nil && next.canary == v.canary {
		return nil
	}
	return v.canary.version
}

// Canary returns a claim on the release that is tried out beside the one the
// claim is on, or false when there is none. It is to be released like any
// other, beside the first one.
func (c *Claim) Canary() (*Claim, bool) {
	tried := c.version.canary
	if tried == nil {
		return nil, false
	}
	v := tried.version
	v.requests.Add(arrival)
	if v.retired.Load() { // it has just been taken away
		v.release()
		return nil, false
	}
	return &Claim{table: c.table, host: c.host, found: c.found, version: v, tried: tried}, true
}

// Observe tells how the request of a claim that Canary returned fared.
func (c *Claim) Observe(failed bool, took time.Duration) {
	if c.tried == nil {
		return
	}
	c.tried.times[bucketOf(took)].Add(1)
	if failed {
		c.tried.failed.Add(1)
	}
	c.tried.asked.Add(1)
}

// Verdict returns how the requests to a release that is tried out fared. See
// hop3.Judge.
func (t *Table) Verdict(id hop3.ReleaseID) hop3.Verdict {
	t.mu.Lock()
	e := t.apps[id.App]
	t.mu.Unlock()
	if e == nil {
		return hop3.Verdict{}
	}
	v := e.current.Load()
	if v == nil || v.canary == nil || v.canary.version.route.Release != id.Number {
		return hop3.Verdict{}
	}
	return v.canary.verdict()
}

func (c *canary) verdict() hop3.Verdict {
	out := hop3.Verdict{Requests: int(c.asked.Load()), Errors: int(c.failed.Load())}
	var counts [timeBuckets]int64
	total := int64(0)
	for i := range c.times {
		counts[i] = c.times[i].Load()
		total += counts[i]
	}
	left := total / 100 // those that may be slower
	for i := timeBuckets - 1; i >= 0; i-- {
		if left -= counts[i]; left < 0 {
			out.P99 = bucketEnd(i)
			break
		}
	}
	return out
}
