// Command routing measures requests through Hop3 with many apps, side by side
// with a stock Caddy that has the same hosts in its configuration, with nginx
// and with Traefik, and what the change of one route costs each of them.
//
// All contestants run at once on this machine and are loaded in turn, several
// rounds; the figures are medians. Only the ratios mean something: wrk, the
// contestants and the backend share the cores. It takes about 8 minutes.
//
// It needs wrk and nginx: apt-get install wrk nginx-light. Traefik is the one
// that tests/run builds, or that TRAEFIK_BIN names; without one it is left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

func main() {
	sizes := flag.String("apps", "1,1000,10000", "numbers of apps, the first and the last are compared")
	rounds := flag.Int("rounds", 9, "how often each contestant is loaded")
	duration := flag.Duration("duration", 2*time.Second, "of each load")
	connections := flag.Int("connections", 32, "of the load")
	only := flag.String("only", "hop3,stock,nginx,traefik", "contestants")
	serve := flag.String("serve", "", "be a contestant; used by the program itself")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *serve != "" {
		err = serveContestant(ctx, *serve)
	} else {
		err = run(ctx, options{split(*sizes), *rounds, *duration, *connections, kindsOf(*only)})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	sizes       []int
	rounds      int
	duration    time.Duration
	connections int
	kinds       []string
}

func split(list string) (sizes []int) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "%q is not a number of apps\n", s)
			os.Exit(2)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// kindsOf reads the list of contestants.
func kindsOf(list string) []string {
	kinds := strings.Split(list, ",")
	for _, kind := range kinds {
		if starters[kind] == nil {
			fmt.Fprintf(os.Stderr, "%q is none of %s\n", kind, strings.Join(slices.Sorted(maps.Keys(starters)), ", "))
			os.Exit(2)
		}
	}
	return kinds
}

func run(ctx context.Context, o options) error {
	for _, program := range []string{"wrk", "nginx"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: apt-get install wrk nginx-light", err)
		}
	}
	o.kinds = slices.DeleteFunc(o.kinds, func(kind string) bool {
		if kind == "traefik" && traefikBinary() == "" {
			fmt.Println("Traefik is left out: tests/run has built none here, and TRAEFIK_BIN names none.")
			return true
		}
		return false
	})
	dir, err := os.MkdirTemp("", "hop3-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	all, other, err := startAll(ctx, dir, o)
	defer func() {
		for _, c := range all {
			c.stop()
		}
	}()
	if err != nil {
		return err
	}
	fmt.Printf("load average before: %s\n", subject.Load())
	for round := range o.rounds + 1 {
		if err := loadAll(ctx, dir, all[1:], o, round == 0); err != nil {
			return err
		}
	}
	printTable(all[1:])
	few, many := o.sizes[0], o.sizes[len(o.sizes)-1]
	printTargets(all[1:], few, many)
	fmt.Printf("load average after: %s\n", subject.Load())
	for _, c := range all[1:] {
		if c.apps != many {
			continue
		}
		if err := c.changes(ctx, dir, o.connections, [2]string{all[0].address, other}); err != nil {
			return errors.Join(fmt.Errorf("changing a route of %s with %d apps: %w", c.kind, c.apps, err), c.trouble())
		}
	}
	printChanges(all[1:], many)
	return printRouteChange(many)
}

// loadAll loads each contestant once. What the first round, which only warms
// up, shows is not kept.
func loadAll(ctx context.Context, dir string, all []*contestant, o options, first bool) error {
	for _, c := range all {
		d := o.duration
		if first { // connections, caches, pools
			d = time.Second
		}
		result, err := c.load(ctx, dir, d, o.connections)
		if err != nil {
			return errors.Join(fmt.Errorf("loading %s with %d apps: %w", c.kind, c.apps, err), c.trouble())
		}
		if !first {
			c.results = append(c.results, result)
		}
	}
	return nil
}
