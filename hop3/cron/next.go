package cron

import "time"

// horizon is how far ahead a schedule is looked for. The rarest, a certain
// weekday on the 29th of February, is at most 40 years away.
const horizon = 50 * 366 * 24 * time.Hour

// Next returns the first time later than t at which the schedule is due by the
// clocks of zone, in that zone. It is the zero time for the zero Schedule.
func (s Schedule) Next(t time.Time, zone *time.Location) time.Time {
	if s.minutes == 0 || s.hours == 0 || s.months == 0 {
		return time.Time{}
	}
	t = t.Round(0).In(zone) // the wall clock decides
	if s.everyHour() {
		return s.nextByClock(t)
	}
	// The time of the first clock that shows w, or later, grows with w, so the
	// first that is later than t is the one.
	limit := t.Add(horizon)
	for w := s.nextWall(clockOf(t)); w.Before(limit); w = s.nextWall(w) {
		if due := firstAt(w, zone); due.After(t) {
			return due
		}
	}
	return time.Time{}
}

// nextByClock is Next for a schedule of every hour: each time that a clock
// shows what matches.
func (s Schedule) nextByClock(t time.Time) time.Time {
	limit := t.Add(horizon)
	for u := nextMinute(t); u.Before(limit); {
		switch {
		case s.matchesDay(u) && has(s.minutes, u.Minute()):
			return u
		case s.matchesDay(u):
			u = nextMinute(u)
		default:
			midnight := firstAt(s.nextDay(clockOf(u)), u.Location())
			if !midnight.After(u) { // clocks went back over midnight
				midnight = nextMinute(u)
			}
			u = untilClocksChange(u, midnight) // who may show a day that matches again
		}
	}
	return time.Time{}
}

// untilClocksChange returns the first time later than from at which clocks are
// set otherwise than at from, or to where they are set alike at both.
func untilClocksChange(from, to time.Time) time.Time {
	before := offsetAt(from, from.Location())
	if offsetAt(to, from.Location()) == before {
		return to
	}
	for low := from; to.Sub(low) > time.Second; {
		middle := low.Add(to.Sub(low) / 2).Truncate(time.Second)
		if offsetAt(middle, from.Location()) == before {
			low = middle
		} else {
			to = middle
		}
	}
	return to
}

// nextMinute returns the next time at which a clock shows a full minute.
func nextMinute(t time.Time) time.Time {
	return t.Add(time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
}

// A wall time is what clocks show, kept as the same date and time in UTC, which
// has no gaps.

func clockOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
}

// nextWall returns the first wall time after w that matches.
func (s Schedule) nextWall(w time.Time) time.Time {
	w = w.Add(time.Minute)
	limit := w.Add(horizon)
	for w.Before(limit) {
		switch {
		case !s.matchesDay(w):
			w = s.nextDay(w)
		case !has(s.hours, w.Hour()):
			w = w.Truncate(time.Hour).Add(time.Hour)
		case !has(s.minutes, w.Minute()):
			w = w.Add(time.Minute)
		default:
			return w
		}
	}
	return w
}

// nextDay returns the beginning of the next day that may match.
func (s Schedule) nextDay(w time.Time) time.Time {
	if !has(s.months, int(w.Month())) {
		return time.Date(w.Year(), w.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(w.Year(), w.Month(), w.Day()+1, 0, 0, 0, 0, time.UTC)
}

// firstAt returns the first time at which clocks of zone show w or later:
// where w was skipped, that is the end of the gap. It only asks for offsets:
// Time.ZoneBounds is wrong on the last day of leap years.
func firstAt(w time.Time, zone *time.Location) time.Time {
	// No offset is as much as a day.
	low, high := w.Add(-24*time.Hour), w.Add(24*time.Hour)
	var first time.Time
	for _, probe := range []time.Time{low, w, high} {
		offset := offsetAt(probe, zone)
		at := w.Add(-offset)
		if offsetAt(at, zone) == offset && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		return first.In(zone)
	}
	for high.Sub(low) > time.Second {
		middle := low.Add(high.Sub(low) / 2).Truncate(time.Second)
		if middle.Add(offsetAt(middle, zone)).Before(w) {
			low = middle
		} else {
			high = middle
		}
	}
	return high.In(zone)
}

// offsetAt is how much clocks of zone are ahead of UTC.
func offsetAt(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
