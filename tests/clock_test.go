package tests

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What takes its minutes by the clock runs beside everything else.

// patientApp answers after half a second, and when asked for /quick at once.
const patientApp = `import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/quick":
            time.sleep(0.5)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"up\n")
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

// TestTheScaleFollowsTheLoad sends an app more requests at once than its one
// instance should have, until it has three; without requests it gives them up
// again, a minute later, and no request is lost on the way.
func TestTheScaleFollowsTheLoad(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "elastic", map[string]string{
		"Procfile":  "web: exec python3 -u app.py\nworker: exec sleep 1000\n",
		"hop3.toml": "[scaling.web]\nmin = 1\nmax = 3\ntarget-concurrency = 4\n",
		"app.py":    patientApp,
	})
	s.awaitStatus(t, "elastic", "web 1, worker 1", 20*time.Second)
	if out, err := s.run(s.dir, "hop3", "ps", "scale", "--app", "elastic", "web=2"); err == nil || !strings.Contains(out, "follows the load") {
		t.Errorf("scaling by hand what follows the load: %v, %s", err, out)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	var requests sync.WaitGroup
	for range 20 { // ten are under way at any time, or more
		requests.Go(func() {
			for ctx.Err() == nil {
				if err := s.hit(context.WithoutCancel(ctx), client, "elastic.localhost"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	s.awaitStatus(t, "elastic", "web 3, worker 1", time.Minute)
	cancel()
	requests.Wait()

	// One at a time keeps it awake and asks for one instance.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	requests.Go(func() {
		for ctx.Err() == nil {
			if code, _, err := s.get(t.Context(), "elastic.localhost", "/quick"); code != http.StatusOK || err != nil {
				t.Errorf("while it shrinks it answers %d, %v", code, err)
				return
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	s.awaitStatus(t, "elastic", "web 2, worker 1", 2*time.Minute)
	s.awaitStatus(t, "elastic", "web 1, worker 1", time.Minute)
	cancel()
	requests.Wait()
}

// TestCronRunsByTheClock waits for the minute to come.
func TestCronRunsByTheClock(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "punctual", map[string]string{
		"Procfile": "worker: exec sleep 1000\ncron: * * * * * date +%S >>$HOME/seconds; exit 4\ncron: @yearly touch $HOME/never\n",
	})
	data := filepath.Join(s.home, "apps", "punctual", "data")
	s.await(t, 2*time.Minute, func() error {
		_, err := os.Stat(filepath.Join(data, "seconds"))
		return err
	})
	s.await(t, 20*time.Second, func() error {
		out, err := s.run(s.dir, "hop3", "cron", "logs", "--app", "punctual")
		if err == nil && (!strings.Contains(out, "exit 4") || strings.Contains(out, "by hand")) {
			err = fmt.Errorf("the history is\n%s", out)
		}
		return err
	})
	seconds, err := os.ReadFile(filepath.Join(data, "seconds"))
	if second := strings.TrimSpace(string(seconds)); err != nil || len(second) != 2 || second > "20" {
		t.Errorf("it ran at the seconds %q, %v: not at the beginning of a minute", seconds, err)
	}
	if _, err := os.Stat(filepath.Join(data, "never")); err == nil {
		t.Error("what is due once a year ran too")
	}
}

// awaitStatus waits until an app has these instances.
func (s *server) awaitStatus(t *testing.T, app, instances string, within time.Duration) {
	t.Helper()
	s.await(t, within, func() error {
		out, err := s.run(s.dir, "hop3", "app", "status", "--app", app)
		if err == nil && !strings.Contains(out, " "+instances+"\n") {
			err = fmt.Errorf("want %s:\n%s", instances, out)
		}
		return err
	})
}

// await asks until there is no error any more.
func (s *server) await(t *testing.T, within time.Duration, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // between two polls
	}
}
