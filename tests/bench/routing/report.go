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
	m.p99 = time.Duration(pick(func(r result) float64 { return float64(r.p99) }))
	m.cpu = time.Duration(pick(func(r result) float64 { return float64(r.cpu) }))
	return m
}

func printTable(all []*contestant) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "apps\t\trequests/s\tp99 ms\tCPU us/request\tPSS MB\t")
	for _, c := range all {
		if len(c.results) > 0 {
			m := c.median()
			fmt.Fprintf(w, "%d\t%s\t%.0f\t%.1f\t%.0f\t%.0f\t\n", c.apps, c.kind, m.rps, float64(m.p99.Microseconds())/1000, float64(m.cpu.Nanoseconds())/1000, c.memory())
		}
	}
	w.Flush()
}

func printTargets(all []*contestant, few, many int) {
	get := func(kind string, n int) *contestant {
		for _, c := range all {
			if c.kind == kind && c.apps == n && len(c.results) > 0 {
				return c
			}
		}
		return nil
	}
	// Rounds are compared one by one: what else this machine does slows down
	// the contestants of a round alike, and one round not as the next.
	ratio := func(what string, a, b *contestant, target float64) {
		if a == nil || b == nil {
			return
		}
		ratios := make([]float64, len(a.results))
		for i := range ratios {
			ratios[i] = a.results[i].rps / b.results[i].rps
		}
		subject.Verdict(what, subject.Median(ratios), ">=", target)
	}
	fmt.Println()
	if few != many {
		ratio(fmt.Sprintf("Hop3 with %d apps / Hop3 with %d", many, few), get("hop3", many), get("hop3", few), 0.97)
		ratio(fmt.Sprintf("Hop3 with %d apps / stock Caddy with %d", many, many), get("hop3", many), get("stock", many), 20)
	}
	ratio(fmt.Sprintf("Hop3 with %d apps / stock Caddy with %d", many, few), get("hop3", many), get("stock", few), 1)
	ratio(fmt.Sprintf("Hop3 with %d apps / nginx with %d", many, many), get("hop3", many), get("nginx", many), 0.5)
	if a, b := get("hop3", many), get("nginx", many); a != nil && b != nil {
		subject.Verdict(fmt.Sprintf("memory of Hop3 / nginx with %d apps", many), a.memory()/b.memory(), "<=", 0.125)
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
