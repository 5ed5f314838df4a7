// Command routing measures requests through Hop3 with many apps, side by side
// with a stock Caddy that has the same hosts in its configuration, and with
// nginx, and the time of one route change.
//
// All contestants run at once on this machine and are loaded in turn, several
// rounds; the figures are medians. Only the ratios mean something: wrk, the
// contestants and the backend share the cores. It takes about 3 minutes.
//
// It needs wrk and nginx: apt-get install wrk nginx-light.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

func main() {
	sizes := flag.String("apps", "1,1000,10000", "numbers of apps, the first and the last are compared")
	rounds := flag.Int("rounds", 9, "how often each contestant is loaded")
	duration := flag.Duration("duration", 2*time.Second, "of each load")
	connections := flag.Int("connections", 32, "of the load")
	only := flag.String("only", "hop3,stock,nginx", "contestants")
	serve := flag.String("serve", "", "be a contestant; used by the program itself")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *serve != "" {
		err = serveContestant(ctx, *serve)
	} else {
		err = run(ctx, options{split(*sizes), *rounds, *duration, *connections, strings.Split(*only, ",")})
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

func run(ctx context.Context, o options) error {
	for _, program := range []string{"wrk", "nginx"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: apt-get install wrk nginx-light", err)
		}
	}
	dir, err := os.MkdirTemp("", "hop3-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	all, err := startAll(ctx, dir, o)
	defer func() {
		for _, c := range all {
			c.stop()
		}
	}()
	if err != nil {
		return err
	}
	for round := range o.rounds + 1 {
		for _, c := range all {
			if c.kind == "backend" {
				continue
			}
			d := o.duration
			if round == 0 { // connections, caches, pools
				d = time.Second
			}
			result, err := c.load(ctx, dir, d, o.connections)
			if err != nil {
				return errors.Join(fmt.Errorf("loading %s with %d apps: %w", c.kind, c.apps, err), c.trouble())
			}
			if round > 0 {
				c.results = append(c.results, result)
			}
		}
	}
	printTable(all)
	printTargets(all, o.sizes[0], o.sizes[len(o.sizes)-1])
	return printRouteChange(o.sizes[len(o.sizes)-1])
}
