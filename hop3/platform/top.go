package platform

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// TopRow is a line of what is going on now: an app's, with a name of an app one
// of its releases, or one of the instances of that.
type TopRow struct {
	hop3.Traffic
	Instance string // "web.1"; "" on a line of more than that
	State    string // of the instance; else what the app does: "asleep", "stopped", …
	Running  int    // instances
	Memory   int64  // bytes
	CPU      float64
	Measured bool // Memory and CPU, in cores, are known

	processType string // of the instance
	ordinal     int
	page        bool // an app's page while no release runs, which uses nothing
}

// cpuPause is between the two looks that it takes to know what of the CPU is
// used by something nobody has asked for lately.
const cpuPause = 300 * time.Millisecond

// Top returns the busiest apps, at most most of them, and how many more there
// are. With an app it returns that one's releases, each followed by its
// instances.
func (p *Platform) Top(ctx context.Context, who Actor, app string, most int) (rows []TopRow, more int, err error) {
	if app != "" {
		if err := p.may(ctx, who, app, hop3.RoleViewer); err != nil {
			return nil, 0, err
		}
		rows, err = p.topReleases(ctx, app)
	} else {
		rows, more, err = p.topApps(ctx, who, most)
	}
	if err != nil {
		return nil, 0, err
	}
	if p.measure(rows) {
		return rows, more, nil
	}
	select { // the first look: a rate needs a second one
	case <-time.After(cpuPause):
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	p.measure(rows)
	return rows, more, nil
}

// Private

// topApps returns the lines of the busiest apps.
func (p *Platform) topApps(ctx context.Context, who Actor, most int) (rows []TopRow, more int, err error) {
	apps, err := p.visible(ctx, who)
	if err != nil {
		return nil, 0, err
	}
	traffic := map[string]hop3.Traffic{}
	for _, t := range p.traffic("") {
		traffic[t.App] = t
	}
	live := map[string]hop3.App{}
	for _, app := range apps {
		t := traffic[app.Name]
		t.App = app.Name
		live[app.Name] = app
		rows = append(rows, TopRow{Traffic: t, State: topState(app)})
	}
	slices.SortStableFunc(rows, func(a, b TopRow) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(b.InFlight+b.Held, a.InFlight+a.Held), cmp.Compare(restOrder(a.State), restOrder(b.State)))
	})
	if more = max(0, len(rows)-most); more > 0 {
		rows = rows[:most]
	}
	for i := range rows {
		app := live[rows[i].App]
		if app.Live == 0 {
			continue
		}
		instances, err := p.Runtime.Instances(ctx, hop3.ReleaseID{App: app.Name, Number: app.Live})
		if err != nil {
			return nil, 0, err
		}
		rows[i].Running = alive(instances)
	}
	return rows, more, nil
}

// restOrder puts apps that run before those that do not.
func restOrder(state string) int {
	if state == "" {
		return 0
	}
	return 1
}

func topState(app hop3.App) string {
	switch {
	case app.Asleep && app.State == hop3.StateRunning:
		return hop3.RouteAsleep
	case app.State == hop3.StateStopped:
		return hop3.RouteStopped
	case app.State == hop3.StateFailed:
		return hop3.RouteFailed
	}
	return ""
}

// topReleases returns the lines of one app.
func (p *Platform) topReleases(ctx context.Context, name string) (rows []TopRow, err error) {
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return nil, err
	}
	traffic := p.traffic(name)
	if app.Live != 0 && !slices.ContainsFunc(traffic, func(t hop3.Traffic) bool { return t.Release == app.Live }) {
		traffic = slices.Insert(traffic, 0, hop3.Traffic{App: name, Release: app.Live})
	}
	for _, t := range traffic {
		row := TopRow{Traffic: t, page: t.Release == 0}
		if t.Live {
			row.State = topState(app)
		}
		var instances []hop3.Instance
		if t.Release != 0 {
			if instances, err = p.Runtime.Instances(ctx, hop3.ReleaseID{App: name, Number: t.Release}); err != nil {
				return nil, err
			}
		}
		row.Running = alive(instances)
		rows = append(rows, row)
		for _, i := range instances {
			rows = append(rows, TopRow{Traffic: hop3.Traffic{App: name, Release: t.Release, Live: t.Live}, Instance: instanceName(i), State: string(i.State),
				processType: i.Type, ordinal: i.Ordinal})
		}
	}
	return rows, nil
}

func alive(instances []hop3.Instance) (n int) {
	for _, i := range instances {
		if i.State == hop3.InstanceRunning {
			n++
		}
	}
	return n
}

func (p *Platform) traffic(app string) []hop3.Traffic {
	if recorder, ok := p.Proxy.(hop3.Recorder); ok {
		return recorder.Traffic(app, p.now())
	}
	return nil
}

// measure fills in what the rows' processes use. It returns false when a second
// look is needed.
func (p *Platform) measure(rows []TopRow) bool {
	known := true
	for i := range rows {
		row := &rows[i]
		if row.page {
			continue
		}
		usage, ok := p.usage(hop3.ReleaseID{App: row.App, Number: row.Release}, row.processType, row.ordinal)
		if row.Measured = ok; !ok {
			continue
		}
		row.Memory = usage.Memory
		var sure bool
		if row.CPU, sure = p.cpus.rate(cpuKey{row.App, row.Release, row.Instance}, usage.CPU, time.Now()); !sure {
			known = false
		}
	}
	return known
}

// cpuKey names what uses a CPU: an app, a release, an instance.
type cpuKey struct {
	app      string
	release  int
	instance string
}

// cpus remembers what was used of the CPU when somebody asked last.
type cpus struct {
	mu   sync.Mutex
	seen map[cpuKey]cpuSeen
	tidy time.Time // when what nobody asks for any more was forgotten
}

type cpuSeen struct {
	at   time.Time
	used time.Duration
	rate float64
	sure bool
}

// Times between two looks: with less than the first the rate of before still
// holds, after more than the second one it says nothing of now.
const (
	minLook = 200 * time.Millisecond
	maxLook = 20 * time.Second
)

// rate returns how many cores are used, given what has been used so far; not
// sure without an earlier look.
func (c *cpus) rate(key cpuKey, used time.Duration, now time.Time) (cores float64, sure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.tidy) > maxLook {
		maps.DeleteFunc(c.seen, func(_ cpuKey, s cpuSeen) bool { return now.Sub(s.at) > maxLook })
		c.tidy = now
	}
	last, ok := c.seen[key]
	since := now.Sub(last.at)
	if ok && since < minLook {
		return last.rate, last.sure
	}
	next := cpuSeen{at: now, used: used}
	if ok && since <= maxLook {
		next.rate, next.sure = max(0, (used-last.used).Seconds()/since.Seconds()), true
	}
	if c.seen == nil {
		c.seen = map[cpuKey]cpuSeen{}
	}
	c.seen[key] = next
	return next.rate, next.sure
}
