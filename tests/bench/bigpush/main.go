// Command bigpush measures the push of a large repository, 50,000 objects and
// about 200 MB, through Hop3's SSH server against stock git on the same
// machine: time, and peak memory of what receives.
//
// The branch is none that deploys, so only the transfer counts. Stock git
// receives into a bare repository beside, once with the checks and settings
// that Hop3 asks for and once with its own defaults, which check nothing. It
// does not encrypt: no SSH server but Hop3's is assumed to be here, so what
// encryption costs is Hop3's to bear. The contestants take turns; the
// figures are medians. Targets, against the same checks: time and peak memory
// <= 1.1x. It takes about 6 minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

func main() {
	rounds := flag.Int("rounds", 5, "pushes to each contestant")
	objects := flag.Int("objects", 50_000, "objects of the repository")
	megabytes := flag.Int("megabytes", 200, "size of the repository")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *objects, *megabytes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, objects, megabytes int) (err error) {
	dir, err := os.MkdirTemp("", "hop3-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := subject.Build(ctx, dir)
	if err != nil {
		return err
	}
	server, err := subject.New(ctx, dir, binary)
	if err != nil {
		return err
	}
	source := filepath.Join(dir, "source.git")
	if err := generate(ctx, server, source, objects, megabytes<<20); err != nil {
		return fmt.Errorf("generating the repository: %w", err)
	}
	if _, err := server.Start(ctx); err != nil {
		return err
	}
	defer func() {
		if stopErr := server.Stop(); err == nil {
			err = stopErr
		}
	}()
	idle, err := subject.RSS(server.PID())
	if err != nil {
		return err
	}
	all := []*contestant{
		{name: "Hop3", server: server, source: source, throughHop3: true, idle: idle},
		{name: "git, same checks", server: server, source: source, settings: sameChecks},
		{name: "git, its defaults", server: server, source: source},
	}
	for round := range rounds {
		for _, c := range all {
			if err := c.push(ctx, round); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	report(all)
	return nil
}

// figures are those of one push.
type figures struct {
	took   time.Duration
	git    float64 // MB at most in the processes that receive
	server float64 // MB at most that the server has over what it has idle
}

func (c *contestant) median(get func(figures) float64) float64 {
	values := make([]float64, len(c.pushes))
	for i, f := range c.pushes {
		values[i] = get(f)
	}
	return subject.Median(values)
}

func report(all []*contestant) {
	seconds := func(f figures) float64 { return f.took.Seconds() }
	git := func(f figures) float64 { return f.git }
	grown := func(f figures) float64 { return f.server }
	memory := func(f figures) float64 { return f.git + f.server }
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\ts\tpeak MB: git\tthe server's growth\t")
	for _, c := range all {
		fmt.Fprintf(w, "%s\t%.2f\t%.0f\t%.0f\t\n", c.name, c.median(seconds), c.median(git), c.median(grown))
	}
	w.Flush()
	fmt.Printf("\nload average %s\n", subject.Load())
	// Round by round: what else this machine does slows a round down as a whole.
	ratio := func(a, b *contestant, get func(figures) float64) float64 {
		ratios := make([]float64, len(a.pushes))
		for i := range ratios {
			ratios[i] = get(a.pushes[i]) / get(b.pushes[i])
		}
		return subject.Median(ratios)
	}
	hop3, checked, plain := all[0], all[1], all[2]
	subject.Verdict("time of a push through Hop3 / git with the same checks", ratio(hop3, checked, seconds), "<=", 1.1)
	subject.Verdict("peak memory through Hop3 / git with the same checks", ratio(hop3, checked, memory), "<=", 1.1)
	fmt.Printf("%-58s %8.3f\n", "time of a push through Hop3 / git with its defaults", ratio(hop3, plain, seconds))
	fmt.Printf("%-58s %8.3f\n", "peak memory through Hop3 / git with its defaults", ratio(hop3, plain, memory))
}
