// Command backup measures a backup and its restore beside what people do by
// hand: `tar | zstd` of the same files, and with -postgres `pg_dump | zstd` of
// the same database, in the same run. What Hop3 does is done by a process of
// its own, whose peak of memory is told.
//
//	go run ./tests/bench/backup -size 2G
//	go run ./tests/bench/backup -size 512M -postgres 127.0.0.1:5432 -superuser postgres -password …
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	size      = flag.String("size", "2G", "how much there is to back up: 64M, 2G")
	rounds    = flag.Int("rounds", 3, "how often; the best counts")
	dir       = flag.String("dir", "", "where to work; a directory for temporary files if not said")
	postgres  = flag.String("postgres", "", "host:port of a PostgreSQL server; without it no database is measured")
	superuser = flag.String("superuser", "postgres", "who makes databases there")
	password  = flag.String("password", "", "their password")
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == worker {
		if err := work(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	bytes, err := parseSize(*size)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(*dir, "hop3-bench-backup-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	contests := []contest{&files{dir: work, size: bytes}}
	if *postgres != "" {
		contests = append(contests, &database{dir: work, size: bytes})
	}
	for _, c := range contests {
		if err := measure(ctx, c, bytes); err != nil {
			return fmt.Errorf("%s: %w", c.name(), err)
		}
	}
	return nil
}

// contest is one thing that is backed up and restored in two ways.
type contest interface {
	name() string
	prepare(ctx context.Context) error
	// save and restore return how long it took, and the peak of memory where
	// that is Hop3's.
	saveByHand(ctx context.Context) (time.Duration, error)
	restoreByHand(ctx context.Context) (time.Duration, error)
	save(ctx context.Context) (time.Duration, int64, error)
	restore(ctx context.Context) (time.Duration, int64, error)
	close() error
}

func measure(ctx context.Context, c contest, bytes int64) (err error) {
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	var hand, handBack, ours, oursBack []time.Duration
	peak := int64(0)
	for range *rounds {
		for _, step := range []func() error{
			func() error { d, err := c.saveByHand(ctx); hand = append(hand, d); return err },
			func() error { d, n, err := c.save(ctx); ours, peak = append(ours, d), max(peak, n); return err },
			func() error { d, err := c.restoreByHand(ctx); handBack = append(handBack, d); return err },
			func() error {
				d, n, err := c.restore(ctx)
				oursBack, peak = append(oursBack, d), max(peak, n)
				return err
			},
		} {
			if err := step(); err != nil {
				return err
			}
		}
	}
	rate := func(d []time.Duration) float64 { return float64(bytes) / (1 << 20) / slices.Min(d).Seconds() }
	fmt.Printf("%s, %d MB: backup %.0f MB/s, by hand %.0f (%.2fx); restore %.0f MB/s, by hand %.0f (%.2fx); at most %.1f MB of memory\n",
		c.name(), bytes>>20, rate(ours), rate(hand), rate(ours)/rate(hand), rate(oursBack), rate(handBack), rate(oursBack)/rate(handBack), float64(peak)/1024)
	return nil
}

// pipe runs two programs, the first one's output being the second one's input.
func pipe(ctx context.Context, from, to *exec.Cmd) (time.Duration, error) {
	started := time.Now()
	var said bytes.Buffer
	from.Stderr, to.Stderr = &said, &said
	out, err := from.StdoutPipe()
	if err != nil {
		return 0, err
	}
	to.Stdin = out
	if err := errors.Join(from.Start(), to.Start()); err != nil {
		return 0, err
	}
	err = errors.Join(to.Wait(), from.Wait())
	if err == nil {
		err = syncDisk(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, said.String())
	}
	return time.Since(started), err
}

// syncDisk makes by hand as durable as ours is.
func syncDisk(ctx context.Context) error { return exec.CommandContext(ctx, "sync").Run() }

// hop3Step runs one step in a process of its own.
func hop3Step(ctx context.Context, step any, env ...string) (time.Duration, int64, error) {
	text, err := json.Marshal(step)
	if err != nil {
		return 0, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, self, worker, string(text))
	cmd.Env = append(os.Environ(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, said.String())
	}
	var took, peak int64
	if _, err := fmt.Sscan(out.String(), &took, &peak); err != nil {
		return 0, 0, err
	}
	return time.Duration(took), peak, nil
}

func parseSize(text string) (int64, error) {
	unit := map[byte]int64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}[text[len(text)-1]]
	n, err := strconv.ParseInt(strings.TrimRight(text, "KMG"), 10, 64)
	if err != nil || unit == 0 || n <= 0 {
		return 0, fmt.Errorf("%q is no size: write 64M or 2G", text)
	}
	return n * unit, nil
}
