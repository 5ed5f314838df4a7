package routing

import (
	"sort"
	"time"
)

// timeBounds is how many bounds the times of requests are sorted by: ten in
// each of six powers of ten, from 100 µs to 100 s.
const timeBounds = 61

// timeSlots has one more, for what takes longer.
const timeSlots = timeBounds + 1

// TimeBounds are the upper bounds of Counts.Times, but for the last.
var TimeBounds = func() (bounds [timeBounds]time.Duration) {
	// As evenly as can be with 1, 2.5 and 5 among them: what people ask about.
	steps := [10]time.Duration{100, 125, 160, 200, 250, 320, 400, 500, 640, 800}
	unit := time.Microsecond
	for i := range bounds {
		bounds[i] = steps[i%10] * unit
		if i%10 == 9 {
			unit *= 10
		}
	}
	return bounds
}()

func slotOf(took time.Duration) int {
	return sort.Search(timeBounds, func(i int) bool { return took <= TimeBounds[i] })
}

// quantile returns the time within which a part of the requests ended, as far
// as the bounds tell; 0 when there were none.
func quantile(times *[timeSlots]uint64, part float64) time.Duration {
	total := uint64(0)
	for _, n := range times {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, below := part*float64(total), 0.0
	for i, n := range times {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		if i == timeBounds {
			break
		}
		from := time.Duration(0)
		if i > 0 {
			from = TimeBounds[i-1]
		}
		return from + time.Duration(float64(TimeBounds[i]-from)*(rank-below)/float64(n))
	}
	return TimeBounds[timeBounds-1]
}
