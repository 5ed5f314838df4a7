// Command memory measures the memory (PSS) of a Hop3 server with idle apps, and
// how long it takes to start with them.
//
// Each app has a live release that serves a page from its directory, a host and
// a route, and no process of its own. Targets: <= 60 MB without apps, <= 75 MB
// with 1,000. It takes about 2 minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

func main() {
	numbers := flag.String("apps", "0,100,1000", "numbers of apps")
	rounds := flag.Int("rounds", 3, "starts with each number")
	idle := flag.Duration("idle", 10*time.Second, "from the start to the measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Split(*numbers, ","), *rounds, *idle); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// result is the figures of one number of apps.
type result struct {
	apps   int
	pss    []float64 // MB
	starts []float64 // ms
}

func run(ctx context.Context, numbers []string, rounds int, idle time.Duration) error {
	dir, err := os.MkdirTemp("", "hop3-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := subject.Build(ctx, dir)
	if err != nil {
		return err
	}
	var results []result
	for _, number := range numbers {
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("%q is not a number of apps", number)
		}
		server, err := subject.New(ctx, filepath.Join(dir, number), binary)
		if err != nil {
			return err
		}
		if err := subject.Register(ctx, server.Home, n, 0); err != nil {
			return fmt.Errorf("registering %d apps: %w", n, err)
		}
		r := result{apps: n}
		for range rounds {
			if err := r.measure(ctx, server, idle); err != nil {
				return err
			}
		}
		results = append(results, r)
	}
	report(results)
	return nil
}

func report(results []result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "apps\tPSS MB\tstart ms\t")
	for _, r := range results {
		fmt.Fprintf(w, "%d\t%.1f\t%.0f\t\n", r.apps, subject.Median(r.pss), subject.Median(r.starts))
	}
	w.Flush()
	fmt.Printf("\nload average %s\n", subject.Load())
	for _, r := range results {
		if target := map[int]float64{0: 60, 1000: 75}[r.apps]; target != 0 {
			subject.Verdict(fmt.Sprintf("MB with %d apps", r.apps), subject.Median(r.pss), "<=", target)
		}
	}
}

// measure starts the server, checks that it serves, and looks at its memory
// when it has been idle.
func (r *result) measure(ctx context.Context, server *subject.Server, idle time.Duration) (err error) {
	took, err := server.Start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := server.Stop(); err == nil {
			err = stopErr
		}
	}()
	for _, i := range []int{0, r.apps - 1} {
		if r.apps == 0 {
			break
		}
		if err := serves(ctx, server.HTTP, subject.AppName(i)); err != nil {
			return err
		}
	}
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	pss, err := subject.PSS(server.PID())
	if err != nil {
		return err
	}
	r.pss = append(r.pss, pss)
	r.starts = append(r.starts, float64(took.Microseconds())/1000)
	return nil
}

// serves checks that an app's page is answered with.
func serves(ctx context.Context, port int, app string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		return err
	}
	req.Host = app + ".localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && string(body) != app {
		err = fmt.Errorf("%s answers %s: %q", app, res.Status, body)
	}
	return err
}
