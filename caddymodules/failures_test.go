package caddymodules

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

// failed returns what is remembered of the requests with an id.
func (s *server) failed(id string) []hop3.Failure {
	s.t.Helper()
	app, err := caddy.ActiveContext().App("hop3")
	if err != nil {
		s.t.Fatal(err)
	}
	return app.(*App).core.failures.Load().Find(id)
}

// failedApp returns what is remembered of an app, once there is something.
func (s *server) failedApp(name string) hop3.Failure {
	s.t.Helper()
	app, err := caddy.ActiveContext().App("hop3")
	if err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if found := app.(*App).core.failures.Load().Recent(name, 1); len(found) == 1 {
			return found[0]
		}
		if time.Now().After(deadline) {
			s.t.Fatal("no request of " + name + " has failed")
		}
	}
}

// rawBackend answers each connection's first request with a text, and closes.
func rawBackend(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.Copy(io.Discard, r.Body)
					io.WriteString(c, text)
				}
			})
		}
	})
	return l.Addr().String()
}

func nobody(t *testing.T) string {
	return fmt.Sprintf("127.0.0.1:%d", freePort(t, "127.0.0.1"))
}

func TestWhatFailsIsRememberedWithItsCause(t *testing.T) {
	s := startServer(t)
	refusing, resetting, garbled, hanging := nobody(t), rawBackend(t, ""), rawBackend(t, "SSH-2.0-hello\r\n"), make(chan struct{})
	defer close(hanging)
	hangs := backend(t, func(http.ResponseWriter, *http.Request) { <-hanging })
	timed := upstreams("slow", 4, "slow.localhost", hangs)
	timed.Policy = &hop3.HTTPPolicy{Timeout: 50 * time.Millisecond}
	for _, r := range []hop3.Route{
		upstreams("refuses", 1, "refuses.localhost", refusing), upstreams("resets", 2, "resets.localhost", resetting),
		upstreams("garbled", 3, "garbled.localhost", garbled), timed,
		{App: "off", Release: 5, Hosts: []string{"off.localhost"}, Status: hop3.RouteStopped},
		{App: "broken", Release: 6, Hosts: []string{"broken.localhost"}, Status: hop3.RouteFailed},
		{App: "worker", Release: 7, Hosts: []string{"worker.localhost"}},
		{App: "closed", Release: 8, Hosts: []string{"closed.localhost"}, Upstreams: []string{hangs}, Policy: &hop3.HTTPPolicy{Maintenance: &hop3.Maintenance{}}},
	} {
		s.set(r)
	}
	for n, c := range []struct {
		app, upstream string
		status        int
		cause         hop3.FailureCause
	}{
		{"refuses", refusing, 502, hop3.FailureRefused},
		{"resets", resetting, 502, hop3.FailureReset},
		{"garbled", garbled, 502, hop3.FailureProtocol},
		{"slow", hangs, 504, hop3.FailureSlow},
		{"off", "", 503, hop3.FailureStopped},
		{"broken", "", 503, hop3.FailureNotStarted},
		{"worker", "", 503, hop3.FailureNoWeb},
		{"closed", "", 503, hop3.FailureMaintenance},
	} {
		t.Run(c.app, func(t *testing.T) {
			a := s.do(http.MethodPost, "http://"+c.app+".localhost/p%1bath?secret=1", "body")
			id := a.Header.Get("X-Request-Id")
			found := s.failed(id)
			if a.StatusCode != c.status || len(id) != 32 || len(found) != 1 || !strings.Contains(a.text, "Request "+id) {
				t.Fatalf("%s with the id %q: %q, remembered: %v", a.Status, id, a.text, found)
			}
			f := found[0]
			if f.App != c.app || f.Release != n+1 || f.Status != c.status || f.Cause != c.cause || f.Upstream != c.upstream || f.Method != "POST" ||
				f.Path != "/p\x1bath" || f.Host != c.app+".localhost" || !strings.HasPrefix(f.Client, "127.") || time.Since(f.Began()) > time.Minute {
				t.Errorf("remembered %+v", f)
			}
		})
	}
}

func TestAnAnswerThatBreaksOffIsRemembered(t *testing.T) {
	s := startServer(t)
	for name, text := range map[string]string{
		"short":   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
	} {
		s.set(upstreams(name, 1, name+".localhost", rawBackend(t, text)))
		res, err := s.client.Get("http://" + name + ".localhost/")
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the client sees no end", name)
		}
		if f := s.failedApp(name); f.Cause != hop3.FailureCut || f.Status != 0 {
			t.Errorf("%s: remembered %+v", name, f)
		}
	}
}

func TestAnAppThatDoesNotWakeIsRememberedWithTheReason(t *testing.T) {
	s := startServer(t)
	b := asleep(t, s, says("awake"))
	b.up <- hop3.Errorf(hop3.CodeDeploy, "it has no luck")
	for _, want := range []string{"it has no luck", ""} {
		found := s.failed(s.get("http://blog.localhost/").Header.Get("X-Request-Id"))
		if len(found) != 1 || found[0].Cause != hop3.FailureWake || found[0].Detail != want {
			t.Errorf("remembered %+v, want %q", found, want)
		}
	}
}

func TestAClientsIDOverwritesNobodys(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", rawBackend(t, "")))
	s.set(upstreams("thief", 1, "thief.localhost", rawBackend(t, "")))
	id := s.do(http.MethodPost, "http://blog.localhost/", "").Header.Get("X-Request-Id")
	if got := s.do(http.MethodPost, "http://thief.localhost/", "", "X-Request-Id", id).Header.Get("X-Request-Id"); got != id {
		t.Fatalf("the answer has the id %q", got)
	}
	if found := s.failed(id); len(found) != 2 || found[1].App != "blog" {
		t.Fatalf("remembered %+v", found)
	}
	for _, bad := range []string{"short", "<script>alert()</script>", strings.Repeat("a", 200)} {
		if got := s.do(http.MethodPost, "http://thief.localhost/", "", "X-Request-Id", bad).Header.Get("X-Request-Id"); len(got) != 32 {
			t.Errorf("the id %q became %q", bad, got)
		}
	}
}

func TestScriptsGetJSON(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", rawBackend(t, "")))
	a := s.do(http.MethodPost, "http://blog.localhost/", "", "Accept", "application/json")
	var got struct {
		Error   string `json:"error"`
		Request string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(a.text), &got); err != nil || got.Error == "" || got.Request != a.Header.Get("X-Request-Id") || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s", err, a.text)
	}
	page := s.do(http.MethodPost, "http://blog.localhost/", "", "Accept", "text/html,application/json", "X-Request-Id", "an/id+of=mine").text
	if !strings.Contains(page, "/why/an%2Fid") || !strings.Contains(page, "hop3 why an/id") {
		t.Fatalf("the page is %s", page)
	}
}
