// Command process measures what running an app under Hop3 costs over running
// the same program by hand, for each runtime:
//
//   - from the start of an instance to its first answer;
//   - memory (PSS) of the runtime for each idle instance; target: <= 0.5 MB for
//     the embedded one;
//   - the first request to a sleeping app, above the app's own start; target:
//     median <= 150 ms;
//   - `env set` until the new value is served, by an app that boots in 100 ms;
//     target: <= 1 s.
//
// The program by hand runs in the same rounds, in turn. It takes about 3
// minutes, and as root it includes the isolation of apps.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"

	_ "github.com/abilian/hop3/hop3/supervisor"
	_ "github.com/abilian/hop3/uwsgi"
)

func main() {
	runtimes := flag.String("runtimes", "native,uwsgi", "runtimes to measure")
	rounds := flag.Int("rounds", 15, "rounds of each figure")
	instances := flag.Int("instances", 50, "idle instances, for the memory of each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Split(*runtimes, ","), *rounds, *instances); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runtimes []string, rounds, instances int) error {
	dir, err := os.MkdirTemp("", "hop3-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // apps run as users of their own
		return err
	}
	program := filepath.Join(dir, "idleapp")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/abilian/hop3/tests/bench/process/idleapp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the app: %w\n%s", err, out)
	}
	binary, err := subject.Build(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range runtimes {
		fmt.Printf("\n%s (load average %s)\n", name, subject.Load())
		if err := measureStarts(ctx, name, program, filepath.Join(dir, name), rounds); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := measureMemory(ctx, name, program, filepath.Join(dir, name+"-idle"), instances); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := measureServer(ctx, name, program, binary, filepath.Join(dir, name+"-server"), rounds); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
