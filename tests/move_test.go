package tests

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// counterApp counts in its database, and in a file of a volume: each request of
// /count adds one to both.
var counterApp = map[string]string{
	"Procfile": "web: python3 counter.py\n",
	"hop3.toml": `[[addons]]
type = "postgres"
name = "db"

[[volumes]]
name = "up"
target = "uploads"
`,
	"counter.py": `import http.server, os, subprocess, threading

lock = threading.Lock()

def sql(text):
    return subprocess.run(["psql", os.environ["DATABASE_URL"], "-qtAc", text], check=True, capture_output=True, text=True).stdout.strip()

open("uploads/lines", "a").close()
sql("CREATE TABLE IF NOT EXISTS hits (n int); INSERT INTO hits SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM hits)")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with lock:
            if self.path == "/count":
                text = sql("UPDATE hits SET n = n + 1 RETURNING n")
                with open("uploads/lines", "a") as f:
                    f.write(text + "\n")
            elif self.path == "/where":
                text = self.headers.get("Host") + " " + self.headers.get("X-Forwarded-For", "") + " " + os.environ["HOME"]
            else:
                text = sql("SELECT n FROM hits") + " " + str(sum(1 for _ in open("uploads/lines")))
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`,
}

// TestMove moves an app with a database and a volume to another server while it
// is used: nothing that was counted is lost or counted twice, no request fails,
// and the first server passes on what still comes, also after it was killed.
func TestMove(t *testing.T) {
	t.Parallel()
	from, to := startServer(t), startServer(t)
	for _, s := range []*server{from, to} {
		if err := s.logIn(); err != nil {
			t.Fatal(err)
		}
	}
	from.push(t, "counter", counterApp)
	address := "http://127.0.0.1:" + strconv.Itoa(to.rpc)
	must := func(s *server, want string, words ...string) string {
		t.Helper()
		out, err := s.run(s.dir, "hop3", words...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("hop3 %s does not show %q: %v\n%s", strings.Join(words, " "), want, err, out)
		}
		return out
	}
	token := strings.Fields(must(to, "", "token", "create", "mover", "--scope", "admin"))[0]

	refused := func(want string, words ...string) {
		t.Helper()
		out, err := from.run(from.dir, "hop3", words...)
		if err == nil || !strings.Contains(out, want) {
			t.Fatalf("hop3 %s is not refused with %q: %v\n%s", strings.Join(words, " "), want, err, out)
		}
	}
	refused("There is no context 'b'", "app", "move", "counter", "b")
	must(from, "", "context", "add", "b", address)
	refused("not logged in", "app", "move", "counter", "b")
	if out, err := from.run(from.dir, "sh", "-c", "HOP3_API_URL= hop3 login "+address+" --token "+token); err != nil {
		t.Fatal(err, out)
	}

	if err := os.WriteFile(filepath.Join(from.dir, "secret"), []byte("hop3move_wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("No app 'counter' is to come", "app", "move", "counter", address, "--secret-file", filepath.Join(from.dir, "secret"))
	must(to, "hop3move_", "app", "receive", "--app", "counter")
	refused("not what 'counter' may come with", "app", "move", "counter", address, "--secret-file", filepath.Join(from.dir, "secret"))
	must(to, "does not come any more", "app", "receive", "--app", "counter", "--cancel")
	refused("in clear", "app", "move", "counter", "http://hop3.example.com", "--secret-file", filepath.Join(from.dir, "secret"))

	load := startCounting(t, from)
	load.wait(20)
	t.Log(must(from, "'counter' is on "+address, "app", "move", "counter", "b"))
	load.wait(20)
	counted := load.end()

	want := fmt.Sprintf("%d %d", counted, counted)
	for _, s := range []*server{from, to} {
		if status, got, err := s.get(t.Context(), "counter.localhost", "/"); err != nil || status != http.StatusOK || got != want {
			t.Errorf("the count is %q, %d, %v, want %q", got, status, err, want)
		}
	}
	if left := from.processesOf("counter"); len(left) > 0 {
		t.Errorf("processes of the app are left where it was: %v", left)
	}
	if _, where, err := from.get(t.Context(), "counter.localhost", "/where"); err != nil || where != "counter.localhost 127.0.0.1 "+to.home+"/apps/counter/data" {
		t.Errorf("it is at %q, %v", where, err)
	}

	must(from, "moved to "+address, "app", "status", "--app", "counter")
	refused("has moved to "+address, "app", "start", "--app", "counter")
	refused("has moved to "+address, "env", "set", "--app", "counter", "A=1")
	if err := from.signal(syscall.SIGKILL); err == nil {
		t.Fatal("the server was not killed")
	}
	if err := from.start(); err != nil {
		t.Fatal(err)
	}
	if status, got, err := from.get(t.Context(), "counter.localhost", "/"); err != nil || status != http.StatusOK || got != want {
		t.Errorf("after a kill the count is %q, %d, %v, want %q", got, status, err, want)
	}
	must(from, "", "app", "destroy", "--app", "counter", "--yes")
	if status, _, _ := from.get(t.Context(), "counter.localhost", "/"); status != http.StatusNotFound {
		t.Errorf("after its end where it was it is answered with %d there", status)
	}
	if status, got, err := to.get(t.Context(), "counter.localhost", "/"); err != nil || status != http.StatusOK || got != want {
		t.Errorf("after its end where it was the count is %q, %d, %v, want %q", got, status, err, want)
	}
}

// counting asks an app to count, without a pause, until it is ended.
type counting struct {
	t      *testing.T
	done   atomic.Int64
	more   chan struct{}
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func startCounting(t *testing.T, s *server) *counting {
	ctx, cancel := context.WithCancel(t.Context())
	c := &counting{t: t, more: make(chan struct{}, 1), cancel: cancel}
	t.Cleanup(cancel)
	for range 3 {
		c.wg.Go(func() {
			for ctx.Err() == nil {
				c.one(s)
			}
		})
	}
	return c
}

// one makes a request to its end: one that is broken off may count or not.
func (c *counting) one(s *server) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/count", s.http), nil)
	if err != nil {
		c.t.Error(err)
		return
	}
	req.Host = "counter.localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Error(err)
		c.cancel()
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		c.t.Errorf("a request was answered with %s, %v: %.200s", res.Status, err, body)
		c.cancel()
		return
	}
	c.done.Add(1)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// wait waits until it has been counted n times more.
func (c *counting) wait(n int64) {
	c.t.Helper()
	for until := c.done.Load() + n; c.done.Load() < until; {
		select {
		case <-c.more:
		case <-c.t.Context().Done():
			c.t.Fatal("the test ends")
		}
		if c.t.Failed() {
			c.t.FailNow()
		}
	}
}

func (c *counting) end() int64 {
	c.cancel()
	c.wg.Wait()
	return c.done.Load()
}
