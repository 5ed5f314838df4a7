package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// noisy does what its worker is told to: everything an app can do to its
// neighbours.
var noisy = map[string]string{
	"Procfile": `web: python3 -u app.py
bomb: python3 bomb.py
hog: python3 hog.py
flood: yes "a line that fills the disk"
`,
	"hop3.toml": `[limits]
memory = "96M"
cpu = 0.5
processes = 40
[scaling]
bomb = 0
hog = 0
flood = 0
`,
	// It waits until the release is live: its limit is that of web too.
	"bomb.py": `import os, time
time.sleep(3)
while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
    except OSError:
        time.sleep(0.01)
`,
	"hog.py": "held = []\nwhile True:\n    held.append(bytearray(10_000_000))\n",
	"app.py": quietApp,
}

const quietApp = `import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/eat":
            held = [bytearray(10_000_000) for _ in range(100)]
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"up\n")
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

// ranOutOfMemory has a request take more memory than its app may: the events
// tell it, and so does who asks why that request failed.
func ranOutOfMemory(t *testing.T, s *server) {
	t.Helper()
	if code, _, err := s.get(t.Context(), "noisy.localhost", "/eat"); err != nil || code != 502 {
		t.Errorf("the request for too much memory: %d, %v", code, err)
	}
	var events, why string
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var err error
		if events, err = s.run(s.dir, "hop3", "events", "--app", "noisy", "--kind", "app.oom"); err != nil {
			t.Fatal(err)
		}
		if why, err = s.run(s.dir, "hop3", "why", "--app", "noisy"); err != nil {
			t.Fatal(err)
		}
		if id, _, listed := strings.Cut(why[strings.LastIndex(strings.TrimSpace(why), "\n")+1:], " "); listed && strings.Contains(why, "/eat") {
			if why, err = s.run(s.dir, "hop3", "why", id); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(events, "web.1 of 'noisy' ended: "+outOfMemory) && strings.Contains(why, outOfMemory) && strings.Contains(why, "Raise `memory`") {
			return
		}
	}
	t.Errorf("the events are\n%s\nand why says\n%s", events, why)
}

const outOfMemory = "out of memory (limit 96 MiB)"

// TestNeighbours lets an app fork without end, take all memory and flood its
// log, one after the other, while the one beside it answers every request.
// What it may take is bounded each time. How fast the neighbour stays is
// measured by tests/bench/neighbours.
func TestNeighbours(t *testing.T) {
	for _, runtime := range runtimes(t) {
		t.Run(runtime, func(t *testing.T) { neighbours(t, runtime) })
	}
}

func neighbours(t *testing.T, runtime string) {
	s := startServerWith(t, "APP_LOG_MAX_SIZE=1M", "PROCESS_MANAGER="+runtime)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	noisyDir, err := s.repository("noisy", noisy)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.run(noisyDir, "git", "push", "hop3", "main"); err != nil {
		if strings.Contains(err.Error()+out, "which this server cannot enforce") {
			t.Skipf("this machine has no control groups for us: %v", err)
		}
		t.Fatal(err)
	}
	quietDir, err := s.repository("quiet", map[string]string{"Procfile": "web: python3 -u app.py\n", "app.py": quietApp})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(quietDir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	ranOutOfMemory(t, s)
	for _, c := range []struct {
		process string
		refused string // what the scaling may be refused with; "" when it works
		until   func() error
	}{
		{"bomb", "", func() error {
			n := len(s.processesOf("noisy"))
			if n > 40 {
				t.Fatalf("the fork bomb has %d processes, its limit is 40", n)
			}
			if n < 30 {
				return fmt.Errorf("only %d processes", n)
			}
			return nil
		}},
		{"hog", outOfMemory, func() error {
			// It may last long enough to count as started.
			log, err := os.ReadFile(filepath.Join(s.home, "apps", "noisy", "log", "hog.1.log"))
			if err == nil && !strings.Contains(string(log), outOfMemory) {
				err = fmt.Errorf("the hog's log does not say %q: %s", outOfMemory, tail(log, 1000))
			}
			return err
		}},
		{"flood", "", func() error {
			files, err := filepath.Glob(filepath.Join(s.home, "apps", "noisy", "log", "flood.1.log*"))
			if err != nil {
				return err
			}
			var size int64
			for _, f := range files {
				if info, err := os.Stat(f); err == nil {
					size += info.Size()
				}
			}
			if size > 1<<30 {
				t.Fatalf("the flood's logs have %d MB", size>>20)
			}
			if _, err := os.Stat(filepath.Join(s.home, "apps", "noisy", "log", "flood.1.log.2")); err != nil {
				return err
			}
			return nil
		}},
	} {
		t.Run(c.process, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			answered := make(chan int)
			go func() {
				n := 0
				for ; ctx.Err() == nil; n++ {
					if code, body, err := s.get(t.Context(), "quiet.localhost", "/"); code != 200 || body != "up\n" || err != nil {
						t.Errorf("the neighbour answers %d %q, %v", code, body, err)
						break
					}
				}
				answered <- n
			}()
			_, err := s.run(s.dir, "hop3", "ps", "scale", "--app", "noisy", c.process+"=1")
			if err != nil && (c.refused == "" || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("scaling it up: %v", err)
			}
			var problem error
			for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				if problem = c.until(); problem == nil {
					break
				}
			}
			if problem != nil {
				t.Error(problem)
			}
			cancel()
			t.Logf("the neighbour answered %d requests meanwhile", <-answered)
			if _, err := s.run(s.dir, "hop3", "ps", "scale", "--app", "noisy", c.process+"=0"); err != nil {
				t.Error(err)
			}
		})
	}
}
