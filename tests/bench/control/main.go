// Command control measures what people wait for who operate a server with many
// apps, and those who watch one:
//
//   - `apps` over RPC with 1,000 apps, some of which have processes, beside
//     `version`, which asks for nothing: target p99 < 10 ms;
//   - from the start of a command line to its end, of the client alone, of the
//     whole program, and with -python of the Python client; target for the client
//     alone: < 60 ms;
//   - 500 followers of one log, beside as many `tail -F` on a file: the server's
//     memory and processor time for them, and from a line's writing by the app
//     until the last follower has it. No follower may miss a line.
//
// All of it is on one machine, clients and followers too: the ratios mean more
// than the figures. It takes about 3 minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

type options struct {
	apps, processes, calls int
	runs                   int
	python                 string
	followers, lines       int
}

func main() {
	var o options
	flag.IntVar(&o.apps, "apps", 1000, "number of apps; 0 leaves `apps` and the command lines out")
	flag.IntVar(&o.processes, "processes", 200, "how many of them have a process")
	flag.IntVar(&o.calls, "calls", 500, "calls of `apps`")
	flag.IntVar(&o.runs, "runs", 15, "runs of each command line")
	flag.StringVar(&o.python, "python", os.Getenv("HOP3_PYTHON_CLI"), "the Python client's program; empty leaves it out")
	flag.IntVar(&o.followers, "followers", 500, "followers of a log; 0 leaves them out")
	flag.IntVar(&o.lines, "lines", 30, "lines that the followers wait for, one a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "hop3-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // apps run as users of their own
		return err
	}
	binary, err := subject.Build(ctx, dir)
	if err != nil {
		return err
	}
	if o.apps > 0 {
		err := on(ctx, filepath.Join(dir, "many"), binary, func(s *subject.Server) error {
			return subject.Register(ctx, s.Home, o.apps, o.processes)
		}, func(s *subject.Server) error {
			if err := measureApps(ctx, s, o); err != nil {
				return err
			}
			return measureClients(ctx, s, o)
		})
		if err != nil {
			return err
		}
	}
	if o.followers > 0 {
		return on(ctx, filepath.Join(dir, "followed"), binary, nil, func(s *subject.Server) error { return measureFollowers(ctx, s, o) })
	}
	return nil
}

// on runs a server for as long as measure takes.
func on(ctx context.Context, dir, binary string, prepare, measure func(*subject.Server) error) (err error) {
	s, err := subject.New(ctx, dir, binary)
	if err != nil {
		return err
	}
	if prepare != nil {
		if err := prepare(s); err != nil {
			return err
		}
	}
	if _, err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	return measure(s)
}

// buildClient builds the client alone, as it is released.
func buildClient(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "hop3-cli")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "github.com/abilian/hop3/cmd/hop3-cli")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building hop3-cli: %w\n%s", err, out)
	}
	return binary, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
