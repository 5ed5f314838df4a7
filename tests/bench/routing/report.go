package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
	"github.com/abilian/hop3/tests/bench/subject"
)

func (c *contestant) median() result {
	var m result
	pick := func(get func(result) float64) float64 {
		values := make([]float64, len(c.results))
		for i, r := range c.results {
			values[i] = get(r)
		}
		return subject.Median(values)
	}
	m.rps = pick(func(r result) float64 { return r.rps })
	m.p50 = time.Duration(pick(func(r result) float64 { return float64(r.p50) }))
	m.p99 = time.Duration(pick(func(r result) float64 { return float64(r.p99) }))
	m.cpu = time.Duration(pick(func(r result) float64 { return float64(r.cpu) }))
	return m
}

func printTable(all []*contestant) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "apps\t\trequests/s\tp50 ms\tp99 ms\tCPU us/request\tPSS MB\t")
	for _, c := range all {
		if len(c.results) > 0 {
			m := c.median()
			fmt.Fprintf(w, "%d\t%s\t%.0f\t%.2f\t%.1f\t%.0f\t%.0f\t\n", c.apps, c.kind, m.rps, ms(m.p50), ms(m.p99), float64(m.cpu.Nanoseconds())/1000, c.memory())
		}
	}
	w.Flush()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func printTargets(all []*contestant, few, many int) {
	fmt.Println()
	h, s, n := find(all, "hop3", many), find(all, "stock", few), find(all, "nginx", many)
	rps := func(r result) float64 { return r.rps }
	p99 := func(r result) float64 { return float64(r.p99) }
	cpu := func(r result) float64 { return float64(r.cpu) }
	at := func(format string, sizes ...any) string { return fmt.Sprintf(format, sizes...) }
	if few != many {
		ratio(at("requests/s of Hop3 with %d apps / with %d", many, few), h, find(all, "hop3", few), rps, ">=", 0.97)
		ratio(at("requests/s of Hop3 / stock Caddy, %d apps", many), h, find(all, "stock", many), rps, ">=", 20)
	}
	ratio(at("requests/s of Hop3 with %d apps / stock Caddy with %d", many, few), h, s, rps, ">=", 1.25)
	ratio(at("CPU per request of Hop3 with %d / stock Caddy with %d", many, few), h, s, cpu, "<=", 0.8)
	ratio(at("requests/s of Hop3 / nginx, %d apps", many), h, n, rps, ">=", 0.5)
	ratio(at("requests/s of Hop3 / Traefik, %d apps", many), h, find(all, "traefik", many), rps, ">=", 1)
	ratio(at("p99 of Hop3 / nginx, %d apps", many), h, n, p99, "<=", 3)
	if h != nil && n != nil {
		subject.Verdict(at("memory of Hop3 / nginx, %d apps", many), h.memory()/n.memory(), "<=", 0.125)
	}
}

// find returns a contestant that was loaded, nil for none.
func find(all []*contestant, kind string, n int) *contestant {
	for _, c := range all {
		if c.kind == kind && c.apps == n && len(c.results) > 0 {
			return c
		}
	}
	return nil
}

// ratio compares two contestants round by round: what else this machine does
// slows down those of a round alike, and one round not as the next.
func ratio(what string, a, b *contestant, get func(result) float64, relation string, target float64) {
	if a == nil || b == nil {
		return
	}
	ratios := make([]float64, len(a.results))
	for i := range ratios {
		ratios[i] = get(a.results[i]) / get(b.results[i])
	}
	subject.Verdict(what, subject.Median(ratios), relation, target)
}

// printChanges prints what the change of one route of n costs under load, from
// the order until a visitor sees it.
func printChanges(all []*contestant, n int) {
	fmt.Printf("\nchanges of one route of %d, under load:\n", n)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tchanges\tms until seen\trequests meanwhile\tfailed\t")
	for _, c := range all {
		if m := c.moved; len(m.times) > 0 {
			fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\t%.0f\t\n", c.kind, len(m.times), subject.Median(m.times), m.load.requests, m.load.failed)
		}
	}
	w.Flush()
	if h := find(all, "hop3", n); h != nil {
		subject.Verdict("requests that failed while Hop3's routes changed", h.moved.load.failed, "<=", 0)
	}
}

// printRouteChange times Set at n apps: of the next release, and of an app's
// hosts.
func printRouteChange(n int) error {
	ctx := context.Background()
	table := routing.NewTable()
	if err := fillTable(ctx, table, n, "127.0.0.1:1"); err != nil {
		return err
	}
	fmt.Println()
	for _, change := range []struct {
		what  string
		hosts func(i int) []string
	}{
		{"the next release", func(int) []string { return []string{host(0)} }},
		{"another host", func(i int) []string { return []string{host(0), "h" + strconv.Itoa(i) + ".localhost"} }},
	} {
		times := make([]float64, 2000)
		for i := range times {
			r := hop3.Route{App: "app0", Release: i + 2, Hosts: change.hosts(i), Upstreams: []string{"127.0.0.1:1"}}
			began := time.Now()
			if err := table.Set(ctx, r); err != nil {
				return err
			}
			times[i] = float64(time.Since(began)) / float64(time.Millisecond)
		}
		subject.Verdict(fmt.Sprintf("ms for a route change at %d apps: %s", n, change.what), subject.Median(times), "<=", 0.2)
	}
	return nil
}
