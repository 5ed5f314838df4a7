package routing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
)

// model is what the table should know, kept the simple way.
type model struct {
	table  *Table
	routes map[string]hop3.Route // by app
	claims []*Claim
	number int
}

func (m *model) owner(host string) string {
	for app, r := range m.routes {
		if slices.Contains(r.Hosts, host) {
			return app
		}
	}
	return ""
}

func TestTheTableBehavesAsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{table: NewTable(), routes: map[string]hop3.Route{}}
		apps := rapid.SampledFrom([]string{"app1", "app2", "app3"})
		hosts := rapid.SampledFrom([]string{"a.test", "b.test", "*.b.test", "c.b.test", "d.test"})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				m.set(t, apps.Draw(t, "app"), rapid.SliceOfNDistinct(hosts, 0, 3, rapid.ID).Draw(t, "hosts"))
			},
			"remove":  func(t *rapid.T) { m.remove(t, apps.Draw(t, "app")) },
			"claim":   func(t *rapid.T) { m.claim(t, hosts.Draw(t, "host")) },
			"follow":  func(t *rapid.T) { m.follow(t) },
			"release": func(t *rapid.T) { m.release(t) },
			"":        m.check,
		})
		for _, c := range m.claims {
			c.Release()
		}
		if n := len(m.table.retired); n != 0 {
			t.Fatalf("%d releases are remembered without requests", n)
		}
	})
}

func (m *model) set(t *rapid.T, app string, hosts []string) {
	m.number++
	r := route(app, m.number, hosts...)
	want := hop3.Code("")
	for _, host := range hosts {
		if o := m.owner(host); o != "" && o != app {
			want = hop3.CodeConflict
		}
	}
	if err := m.table.Set(context.Background(), r); hop3.CodeOf(err) != want {
		t.Fatalf("setting %v: %v, want %q", r, err, want)
	}
	if want == "" {
		m.routes[app] = r
	}
}

func (m *model) remove(t *rapid.T, app string) {
	if err := m.table.Remove(context.Background(), app); err != nil {
		t.Fatal(err)
	}
	delete(m.routes, app)
}

func (m *model) claim(t *rapid.T, host string) {
	c, ok := m.table.Claim(host)
	if ok != (m.table.Lookup(host) != nil) {
		t.Fatalf("claiming %s: %v", host, ok)
	}
	if ok {
		m.claims = append(m.claims, c)
	}
}

func (m *model) follow(t *rapid.T) {
	if len(m.claims) == 0 {
		t.Skip("no request")
	}
	c := rapid.SampledFrom(m.claims).Draw(t, "claim")
	r := c.Follow()
	if r != nil && m.routes[r.App].Release != r.Release {
		t.Fatalf("followed to v%d of %s, the live one is v%d", r.Release, r.App, m.routes[r.App].Release)
	}
}

func (m *model) release(t *rapid.T) {
	if len(m.claims) == 0 {
		t.Skip("no request")
	}
	i := rapid.IntRange(0, len(m.claims)-1).Draw(t, "claim")
	m.claims[i].Release()
	m.claims = slices.Delete(m.claims, i, i+1)
}

// checkLoad compares the requests under way to each app.
func (m *model) checkLoad(t *rapid.T) {
	want := map[string]hop3.Load{}
	for _, c := range m.claims {
		id := c.version.id()
		load := want[id.App]
		if live, ok := m.routes[id.App]; ok && live.Release == id.Number {
			load.InFlight++
		} else if ok {
			load.Draining++
		}
		want[id.App] = load
	}
	for app, w := range want {
		got := m.table.Load(app)
		if got.InFlight != w.InFlight || got.Draining != w.Draining {
			t.Fatalf("the load of %s is %+v, want %+v", app, got, w)
		}
	}
}

// check compares every host and every release's requests.
func (m *model) check(t *rapid.T) {
	m.checkLoad(t)
	for _, host := range []string{"a.test", "b.test", "c.b.test", "d.test"} {
		want := m.owner(host)
		if want == "" && host == "c.b.test" {
			want = m.owner("*.b.test")
		}
		got := m.table.Lookup(host)
		if (got == nil) != (want == "") || got != nil && (got.App != want || got.Release != m.routes[want].Release) {
			t.Fatalf("%s goes to %v, want %q", host, got, want)
		}
	}
	busy := map[hop3.ReleaseID]bool{}
	for _, c := range m.claims {
		if id := c.version.id(); m.routes[id.App].Release != id.Number {
			busy[id] = true
		}
	}
	draining := map[hop3.ReleaseID]bool{}
	for _, versions := range m.table.retired {
		for _, v := range versions {
			draining[v.id()] = true
		}
	}
	if got := len(draining); got != len(busy) {
		t.Fatalf("%d releases drain, want %v", got, slices.Collect(maps.Keys(busy)))
	}
}

// TestNoRequestMeetsADrainedRelease runs requests against a table that is
// switched as fast as it goes: after Drain, a release's process would be
// stopped, so no claim may be on it.
func TestNoRequestMeetsADrainedRelease(t *testing.T) {
	const releases = 2000
	table := NewTable()
	set(t, table, route("blog", 1, "blog.test"))
	var stopped [releases + 1]atomic.Bool
	var lost atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	end := make(chan struct{})
	var clients, drains sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				c, ok := table.Claim("blog.test")
				if !ok {
					lost.Add(1)
					continue
				}
				if n%(i+2) == 0 {
					c.Follow()
				}
				if stopped[c.Route().Release].Load() {
					lost.Add(1)
				}
				c.Release()
			}
		})
	}
	for n := 2; n <= releases; n++ {
		hosts := []string{"blog.test"}
		if n%3 == 0 {
			hosts = append(hosts, fmt.Sprintf("h%d.test", n))
		}
		set(t, table, route("blog", n, hosts...))
		drains.Go(func() {
			if err := table.Drain(ctx, hop3.ReleaseID{App: "blog", Number: n - 1}); err != nil {
				t.Error(err)
			}
			stopped[n-1].Store(true)
		})
	}
	drains.Wait()
	close(end)
	clients.Wait()
	if lost.Load() != 0 {
		t.Fatalf("%d requests lost", lost.Load())
	}
	if len(table.retired) != 0 {
		t.Fatal("drained releases are remembered")
	}
}
