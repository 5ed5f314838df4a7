// Command neighbours measures how fast an app answers while the one beside it
// forks without end, takes all the memory it can get, and floods its log: the
// 99th percentile of its times, against that of the same app with a quiet
// neighbour in the same run. Target: <= 2 times.
//
// It needs a machine where the server has control groups, and takes about a
// minute and a half.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

func main() {
	seconds := flag.Int("seconds", 10, "length of each measurement")
	rate := flag.Int("rate", 100, "requests a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, time.Duration(*seconds)*time.Second, *rate); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const web = `import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"up\n")
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

// Each bad neighbour waits until its release is live.
var noisy = map[string]string{
	"Procfile": `web: python3 app.py
bomb: python3 bomb.py
hog: python3 hog.py
flood: yes "a line that fills the disk"
`,
	"hop3.toml": `[limits]
memory = "128M"
cpu = 0.5
processes = 50
[scaling]
bomb = 0
hog = 0
flood = 0
`,
	"app.py":  web,
	"bomb.py": "import os, time\ntime.sleep(3)\nwhile True:\n    try:\n        if os.fork() == 0:\n            time.sleep(1000)\n    except OSError:\n        pass\n",
	"hog.py":  "import time\ntime.sleep(3)\nheld = []\nwhile True:\n    held.append(bytearray(1_000_000))\n",
}

func run(ctx context.Context, length time.Duration, rate int) (err error) {
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
	s, err := subject.New(ctx, dir, binary)
	if err != nil {
		return err
	}
	if _, err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	for app, files := range map[string]map[string]string{"noisy": noisy, "quiet": {"Procfile": "web: python3 app.py\n", "app.py": web}} {
		if err := s.Push(ctx, app, files); err != nil {
			return err
		}
	}
	fmt.Printf("%d requests a second for %s each, load average %s\n", rate, length, subject.Load())
	alone, err := p99(ctx, s, length, rate)
	if err != nil {
		return err
	}
	fmt.Printf("p99 with a quiet neighbour: %.2f ms\n", ms(alone))
	for _, process := range []string{"bomb", "hog", "flood"} {
		if err := scale(ctx, s, process+"=1"); err != nil {
			return err
		}
		time.Sleep(4 * time.Second) // until it is at its worst
		beside, err := p99(ctx, s, length, rate)
		if err != nil {
			return err
		}
		fmt.Printf("p99 beside a %s: %.2f ms\n", process, ms(beside))
		subject.Verdict("times the quiet p99, beside a "+process, float64(beside)/float64(alone), "<=", 2)
		if err := scale(ctx, s, process+"=0"); err != nil {
			return err
		}
	}
	return nil
}

func scale(ctx context.Context, s *subject.Server, count string) error {
	if out, err := s.Command(ctx, s.Dir, s.Binary, "ps", "scale", "--app", "noisy", count).CombinedOutput(); err != nil {
		return fmt.Errorf("ps scale %s: %w\n%s", count, err, out)
	}
	return nil
}

// p99 sends requests at a steady rate, whether those before were answered or
// not, and returns the 99th percentile of their times. All must succeed.
func p99(ctx context.Context, s *subject.Server, length time.Duration, rate int) (time.Duration, error) {
	n := int(length.Seconds() * float64(rate))
	type answer struct {
		took time.Duration
		err  error
	}
	answers := make(chan answer, n)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		go func() {
			began := time.Now()
			err := get(ctx, s, "quiet")
			answers <- answer{time.Since(began), err}
		}()
	}
	times := make([]time.Duration, 0, n)
	for range n {
		a := <-answers
		if a.err != nil {
			return 0, a.err
		}
		times = append(times, a.took)
	}
	slices.Sort(times)
	return times[n*99/100], nil
}

func get(ctx context.Context, s *subject.Server, app string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", s.HTTP), nil)
	if err != nil {
		return err
	}
	req.Host = app + ".localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", app, res.Status)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
