// Command push measures a redeploy by git push: until the first answer of the
// new release, and until git push has ended.
//
// From the whole, the times of others are taken off: of the build tool, as
// Hop3's progress lines show it; of the app, until it answers when it is
// started by hand with the same command in the same environment; and of the
// clients, which is a push of the same commit into a bare repository beside,
// and an ssh that connects, authenticates and ends. What remains is Hop3's own
// share: target <= 300 ms.
//
// The dependencies are warm: their locks have not changed since the push
// before. The first push needs the package registries. It takes about 2
// minutes.
//
// In the same rounds, with -rival, the commits are pushed to what Piku does (see
// rival.go; nginx and uwsgi are needed), and each app is rolled back by a call
// of the API. Targets: push to first answer <= 1.3 times (the app's start +
// 300 ms), for Flask and Express; rollback < 1 s.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

func main() {
	apps := flag.String("apps", "generic,flask,express,gin", "sample apps to push")
	sources := flag.String("sources", "tests/apps", "where the sample apps are")
	rounds := flag.Int("rounds", 9, "pushes of each app")
	withRival := flag.Bool("rival", false, "compare with Piku's sequence of commands: for flask and express")
	verbose := flag.Bool("v", false, "show when each line of the first round came")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Split(*apps, ","), *sources, *rounds, *withRival, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, apps []string, sources string, rounds int, withRival, verbose bool) (err error) {
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
	if _, err := server.Start(ctx); err != nil {
		return err
	}
	defer func() {
		if stopErr := server.Stop(); err == nil {
			err = stopErr
		}
	}()
	var pushed []*app
	for _, name := range apps {
		a, err := newApp(ctx, server, filepath.Join(sources, name), name)
		if err != nil {
			return err
		}
		pushed = append(pushed, a)
	}
	var r *rival
	if withRival {
		if r, err = startRival(ctx, server); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.stop()) }()
		for _, a := range pushed {
			if err := r.add(ctx, a); err != nil {
				return err
			}
		}
	}
	for round := range rounds + 1 {
		for _, a := range pushed {
			if err := a.round(ctx, r, verbose && round == 1); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			if round == 0 {
				a.rounds = nil // the rival's caches were cold
			}
		}
	}
	report(pushed, withRival)
	return nil
}

// figures are the times of one round.
type figures struct {
	first200, push     time.Duration
	build, start       time.Duration
	gitClient, sshOnly time.Duration
	rollback           time.Duration
	rival              time.Duration // 0: there was none
}

// own is what Hop3 itself took.
func (f figures) own() time.Duration {
	return max(f.first200, f.push) - f.build - f.start - f.gitClient - f.sshOnly
}

func report(apps []*app, withRival bool) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "ms\tfirst 200\tgit push\tbuild tool\tapp's start\tgit alone\tssh alone\tHop3's own\trollback\tmost\tPiku's sequence\t")
	median := func(a *app, get func(figures) time.Duration) float64 {
		values := make([]time.Duration, len(a.rounds))
		for i, f := range a.rounds {
			values[i] = get(f)
		}
		return float64(subject.Median(values).Microseconds()) / 1000
	}
	for _, a := range apps {
		fmt.Fprintf(w, "%s\t", a.name)
		for _, get := range []func(figures) time.Duration{
			func(f figures) time.Duration { return f.first200 },
			func(f figures) time.Duration { return f.push },
			func(f figures) time.Duration { return f.build },
			func(f figures) time.Duration { return f.start },
			func(f figures) time.Duration { return f.gitClient },
			func(f figures) time.Duration { return f.sshOnly },
			figures.own,
			func(f figures) time.Duration { return f.rollback },
			func(figures) time.Duration { return a.slowestRollback() },
			func(f figures) time.Duration { return f.rival },
		} {
			fmt.Fprintf(w, "%.0f\t", median(a, get))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	fmt.Printf("\nload average %s\n", subject.Load())
	for _, a := range apps {
		subject.Verdict("ms of a redeploy of "+a.name+" that are Hop3's own", median(a, figures.own), "<=", 300)
		subject.Verdict("slowest rollback of "+a.name+", ms", float64(a.slowestRollback().Milliseconds()), "<=", 1000)
		if a.name != "flask" && a.name != "express" {
			continue
		}
		first200 := median(a, func(f figures) time.Duration { return f.first200 })
		start := median(a, func(f figures) time.Duration { return f.start })
		subject.Verdict("push of "+a.name+" to first 200 / (its start + 300 ms)", first200/(start+300), "<=", 1.3)
		if withRival {
			subject.Verdict("push of "+a.name+" to first 200 / Piku's sequence", first200/median(a, func(f figures) time.Duration { return f.rival }), "<=", 1)
		}
	}
}
