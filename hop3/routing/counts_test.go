package routing

import (
	"sync"
	"testing"
	"time"
)

// countsOf returns the counts of the only app, and the sum of its requests.
func countsOf(t *testing.T, table *Table) (AppCounts, uint64) {
	t.Helper()
	all := table.Counts()
	if len(all) != 1 {
		t.Fatalf("%d apps are counted", len(all))
	}
	sum := uint64(0)
	for _, c := range all[0].Releases {
		for _, n := range c.Requests {
			sum += n
		}
	}
	return all[0], sum
}

// What an app has answered never becomes less, however many releases pass, and
// what is known of them does not grow.
func TestCountsOfManyReleases(t *testing.T) {
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	slow, _ := table.Claim("blog.test") // a WebSocket of the first release
	before := uint64(0)
	for n := 1; n <= 200; n++ {
		set(t, table, route("blog", n, "blog.test"))
		for range 3 {
			claim, _ := table.Claim("blog.test")
			claim.Count(200, time.Millisecond, 1, 2)
			claim.Release()
		}
		app, sum := countsOf(t, table)
		if sum != before+3 || len(app.Releases) > keptCounts+1 {
			t.Fatalf("v%d: %d requests, %d releases", n, sum, len(app.Releases))
		}
		before = sum
	}
	app, _ := countsOf(t, table)
	if got := app.Releases[0]; got.Release != Older || got.InFlight != 1 || got.Requests[2] != 3*195 || got.Sent != 2*3*195 || got.Took != 3*195*time.Millisecond {
		t.Errorf("%+v", got)
	}
	slow.Count(101, time.Hour, 0, 0)
	slow.Release()
	app, sum := countsOf(t, table)
	if app.Releases[0].Requests[1] != 1 || app.Releases[0].InFlight != 0 || sum != before+1 {
		t.Errorf("%+v", app.Releases[0])
	}
	if n := len(table.apps["blog"].stats); n != keptCounts {
		t.Errorf("%d releases are kept", n)
	}
}

// A route that is set again, and a release that comes back, goes on counting.
func TestCountsOfAReleaseThatComesBack(t *testing.T) {
	table := NewTable()
	for _, n := range []int{1, 2, 0, 2, 1, 1} {
		set(t, table, route("blog", n, "blog.test"))
		claim, _ := table.Claim("blog.test")
		claim.Count(200, time.Millisecond, 0, 0)
		claim.Release()
	}
	app, _ := countsOf(t, table)
	got := map[int]uint64{}
	for _, c := range app.Releases {
		got[c.Release] = c.Requests[2]
	}
	if got[0] != 1 || got[1] != 3 || got[2] != 2 {
		t.Errorf("%v", got)
	}
	if err := table.Remove(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	if all := table.Counts(); len(all) != 0 {
		t.Errorf("an app that is gone is counted: %v", all)
	}
}

func TestCountsAreExactWhileReleasesChange(t *testing.T) {
	const workers, each = 8, 2000
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range each {
				claim, _ := table.Claim("blog.test")
				claim.Follow()
				claim.Count(200+i%400, time.Duration(i)*time.Microsecond, 0, 0)
				claim.Release()
			}
		})
	}
	for n := 2; n <= 300; n++ {
		set(t, table, route("blog", n, "blog.test"))
		table.Counts()
		table.Sample(time.Now())
		table.Traffic("blog", time.Now())
	}
	all.Wait()
	app, sum := countsOf(t, table)
	times := uint64(0)
	for _, c := range app.Releases {
		for _, n := range c.Times {
			times += n
		}
	}
	if sum != workers*each || times != sum {
		t.Errorf("%d requests and %d times, not %d", sum, times, workers*each)
	}
}

func TestTrafficOfLately(t *testing.T) {
	table, now := NewTable(), time.Unix(1e9, 0)
	set(t, table, route("blog", 1, "blog.test"))
	ask := func(n, status int, took time.Duration) {
		for range n {
			claim, _ := table.Claim("blog.test")
			claim.Count(status, took, 10, 100)
			claim.Release()
		}
	}
	table.Sample(now)
	for range 20 {
		ask(36, 200, 2*time.Millisecond)
		ask(4, 503, time.Second)
		now = now.Add(2 * time.Second)
		table.Sample(now)
	}
	row := table.Traffic("", now)[0]
	if row.App != "blog" || row.Rate < 19 || row.Rate > 21 || row.ErrorRate < 1.9 || row.ErrorRate > 2.1 || row.Sent < 1900 || row.Sent > 2100 {
		t.Errorf("%+v", row)
	}
	if row.P50 < time.Millisecond || row.P50 > 3*time.Millisecond || row.P95 < 800*time.Millisecond || row.P99 > 1250*time.Millisecond {
		t.Errorf("%+v", row)
	}
	set(t, table, route("blog", 2, "blog.test"))
	ask(10, 200, time.Millisecond)
	if rows := table.Traffic("blog", now); len(rows) != 2 || rows[0].Release != 2 || !rows[0].Live || rows[1].Release != 1 || rows[1].Live {
		t.Errorf("%+v", rows)
	}
	for range 10 {
		now = now.Add(2 * time.Second)
		table.Sample(now)
	}
	if row := table.Traffic("", now)[0]; row.Rate != 0 || row.P99 != 0 {
		t.Errorf("silence is counted: %+v", row)
	}
	for _, s := range table.apps["blog"].stats {
		if len(s.lately) != 1 {
			t.Errorf("a silent release has %d samples", len(s.lately))
		}
	}
}

func TestTimeBounds(t *testing.T) {
	for i, bound := range TimeBounds {
		if i > 0 && bound <= TimeBounds[i-1] || slotOf(bound) != i || slotOf(bound+1) != i+1 {
			t.Errorf("%d: %s", i, bound)
		}
	}
	if last := TimeBounds[timeBounds-1]; last != 100*time.Second {
		t.Errorf("the last bound is %s", last)
	}
}

func BenchmarkCount(b *testing.B) {
	table := NewTable()
	set(b, table, route("blog", 1, "blog.test"))
	claim, _ := table.Claim("blog.test")
	b.ReportAllocs()
	for b.Loop() {
		claim.Count(200, 3*time.Millisecond, 0, 1000)
	}
}
