package tests

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSleepAndWake lets an app fall asleep and sends it 200 first requests at
// once: all are answered, by one start.
func TestSleepAndWake(t *testing.T) {
	for _, runtime := range runtimes(t) {
		t.Run(runtime, func(t *testing.T) { sleepAndWake(t, runtime) })
	}
}

func sleepAndWake(t *testing.T, runtime string) {
	const clients = 200
	s := startServerWith(t, "PROCESS_MANAGER="+runtime)
	dir, err := s.repository("sleepy", map[string]string{
		"Procfile":  "web: sh start.sh\n",
		"hop3.toml": "[scaling.web]\nsleep-after = \"1s\"\n",
		"start.sh":  "echo started >>\"$HOME/starts\"\nexec python3 -u app.py\n",
		"app.py": `import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"awake\n")
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	starts := func() int {
		out, err := s.run(s.dir, "cat", s.home+"/apps/sleepy/data/starts")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(out, "started")
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		before := starts()
		s.awaitSleep(t, "sleepy")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var all sync.WaitGroup
		var failures atomic.Int64
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for range clients {
			all.Go(func() {
				if err := s.hit(ctx, client, "sleepy.localhost"); err != nil && failures.Add(1) <= 5 {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		cancel()
		if n := starts() - before; n != 1 {
			t.Errorf("round %d: %d starts for %d requests, want 1", round, n, clients)
		}
	}

	// A server that starts again leaves who sleeps asleep.
	s.awaitSleep(t, "sleepy")
	before := starts()
	if err := s.signal(9); err == nil {
		t.Error("the server was killed and ended without an error")
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if n := starts() - before; n != 0 {
		t.Errorf("a start of the server woke the app %d times", n)
	}
	if code, _, err := s.get(t.Context(), "sleepy.localhost", "/"); code != http.StatusOK || err != nil {
		t.Errorf("afterwards the app answers %d, %v", code, err)
	}
}

// awaitSleep returns when an app has no process any more.
func (s *server) awaitSleep(t *testing.T, app string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for len(s.processesOf(app)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("'%s' does not go to sleep", app)
		}
		time.Sleep(20 * time.Millisecond) // between two polls
	}
}
