package routing

import (
	"cmp"
	"slices"
	"time"

	"github.com/abilian/hop3/hop3"
)

// trafficWindow is over how long rates are taken.
const trafficWindow = 10 * time.Second

// sample is the counts of a release at a time.
type sample struct {
	at     time.Time
	counts Counts
}

// Sample notes how far the counts are. See hop3.Recorder.
func (t *Table) Sample(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.apps {
		for _, s := range e.stats {
			s.sample(now)
		}
	}
}

// Traffic returns the rates of every app, or with a name of each release of
// that one. See hop3.Recorder.
func (t *Table) Traffic(app string, now time.Time) (all []hop3.Traffic) {
	held := t.wakes.allHeld()
	t.mu.Lock()
	defer t.mu.Unlock()
	if app == "" {
		for name, e := range t.apps {
			row := t.traffic(e, e.stats, now)
			row.App, row.Held = name, held[name]
			all = append(all, row)
		}
		slices.SortFunc(all, func(a, b hop3.Traffic) int { return cmp.Compare(a.App, b.App) })
		return all
	}
	e := t.apps[app]
	if e == nil {
		return nil
	}
	live := e.current.Load().stats
	for _, s := range e.stats {
		row := t.traffic(e, []*stats{s}, now)
		row.App, row.Release, row.Live = app, s.release, s == live
		if s == live {
			row.Held = held[app]
		}
		all = append(all, row)
	}
	slices.Reverse(all)
	return all
}

// Private

// sample notes the counts and forgets what is older than the window. Of a
// release without requests one sample is left.
func (s *stats) sample(now time.Time) {
	n := s.made.Load()
	if n == nil {
		return
	}
	next := sample{at: now}
	s.addTo(&next.counts)
	for len(s.lately) > 1 && now.Sub(s.lately[1].at) >= trafficWindow {
		s.lately = s.lately[1:]
	}
	if len(s.lately) > 0 && s.lately[0].counts.Requests == next.counts.Requests {
		s.lately = []sample{next} // lets go of what the slice had
		return
	}
	s.lately = append(s.lately, next)
}

// traffic adds up what went to some releases of an app within the window.
func (t *Table) traffic(e *entry, of []*stats, now time.Time) (row hop3.Traffic) {
	flying := t.flying(e)
	var seen Counts
	for _, s := range of {
		row.InFlight += flying[s]
		if s.made.Load() == nil {
			continue
		}
		span, since := trafficWindow, Counts{}
		if len(s.lately) > 0 {
			span, since = max(now.Sub(s.lately[0].at), time.Second), s.lately[0].counts
		}
		var c Counts
		s.addTo(&c)
		c.subtract(&since)
		seconds := span.Seconds()
		requests := uint64(0)
		for _, n := range c.Requests {
			requests += n
		}
		row.Rate += float64(requests) / seconds
		row.ErrorRate += float64(c.Requests[5]) / seconds
		row.Received += float64(c.Received) / seconds
		row.Sent += float64(c.Sent) / seconds
		seen.add(&c)
	}
	row.P50, row.P95, row.P99 = quantile(&seen.Times, .5), quantile(&seen.Times, .95), quantile(&seen.Times, .99)
	return row
}

func (c *Counts) subtract(o *Counts) {
	for i, n := range o.Requests {
		c.Requests[i] -= n
	}
	for i, n := range o.Times {
		c.Times[i] -= n
	}
	c.Received -= o.Received
	c.Sent -= o.Sent
}
