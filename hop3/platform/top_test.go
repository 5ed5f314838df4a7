package platform

import (
	"testing"
	"time"
)

func TestCPUOfLately(t *testing.T) {
	var c cpus
	now, key := time.Unix(1e9, 0), cpuKey{app: "blog"}
	for i, step := range []struct {
		after, used time.Duration
		cores       float64
		sure        bool
	}{
		{0, 10 * time.Second, 0, false},
		{100 * time.Millisecond, 10 * time.Second, 0, false},       // too soon to tell
		{200 * time.Millisecond, 10*time.Second + 6e8, 2, true},    // over 300 ms
		{100 * time.Millisecond, 12 * time.Second, 2, true},        // somebody else asks
		{900 * time.Millisecond, 10*time.Second + 11e8, 0.5, true}, // over a second
		{time.Second, 1 * time.Second, 0, true},                    // processes have gone
		{time.Minute, 2 * time.Second, 0, false},                   // nobody asked for long
	} {
		now = now.Add(step.after)
		cores, sure := c.rate(key, step.used, now)
		if sure != step.sure || cores < step.cores-0.01 || cores > step.cores+0.01 {
			t.Errorf("step %d: %v cores, %v", i, cores, sure)
		}
	}
	c.rate(cpuKey{app: "shop"}, 0, now.Add(time.Hour))
	if len(c.seen) != 1 {
		t.Errorf("%d are remembered", len(c.seen))
	}
}
