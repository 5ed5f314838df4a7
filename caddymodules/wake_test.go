package caddymodules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/abilian/hop3/hop3"
)

// sleeper is the app blog, asleep: each start of it waits for a word of the
// test and then routes to a backend, or fails.
type sleeper struct {
	s      *server
	starts atomic.Int32
	up     chan error // the outcome of each start
	dial   string
}

func asleep(t *testing.T, s *server, h http.HandlerFunc) *sleeper {
	b := &sleeper{s: s, up: make(chan error, 1), dial: backend(t, h)}
	s.table.SetWaker(func(context.Context, string) error {
		b.starts.Add(1)
		err := <-b.up
		if err == nil {
			err = s.table.Set(context.Background(), upstreams("blog", 1, "blog.localhost", b.dial))
		}
		return err
	})
	b.sleeps()
	return b
}

func (b *sleeper) sleeps() {
	b.s.set(hop3.Route{App: "blog", Hosts: []string{"blog.localhost", "blog.example.com"}, Status: hop3.RouteAsleep})
}

// held waits until n requests wait for the app.
func (b *sleeper) held(n int) {
	b.s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); b.s.table.Load("blog").InFlight != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.s.t.Fatalf("%d requests wait, want %d", b.s.table.Load("blog").InFlight, n)
		}
	}
}

func TestTwoHundredFirstRequestsMakeOneStart(t *testing.T) {
	s := startServer(t)
	b := asleep(t, s, says("awake"))
	var requests sync.WaitGroup
	var served atomic.Int32
	for range 200 {
		requests.Go(func() {
			res, err := s.client.Get("http://blog.localhost/")
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode == 200 && string(body) == "awake" {
				served.Add(1)
			}
		})
	}
	b.held(200)
	b.up <- nil
	requests.Wait()
	if served.Load() != 200 || b.starts.Load() != 1 {
		t.Fatalf("%d of 200 requests served, %d starts", served.Load(), b.starts.Load())
	}
}

func TestAClientThatLeavesIsNotHeld(t *testing.T) {
	s := startServer(t)
	b := asleep(t, s, says("awake"))
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://blog.localhost/", nil)
	gone := make(chan error, 1)
	go func() {
		_, err := s.client.Do(req)
		gone <- err
	}()
	b.held(1)
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b.held(0)
	b.up <- nil
	if a := s.get("http://blog.localhost/"); a.text != "awake" || b.starts.Load() != 1 {
		t.Fatalf("%s %q after %d starts", a.Status, a.text, b.starts.Load())
	}
}

func TestAFailedWakeIsNoStorm(t *testing.T) {
	s := startServer(t)
	b := asleep(t, s, says("awake"))
	var requests sync.WaitGroup
	answers := make(chan answer, 60)
	for range 50 {
		requests.Go(func() { answers <- s.get("http://blog.localhost/", "Accept", "text/html") })
	}
	b.held(50)
	b.up <- errors.New("secret reason")
	requests.Wait()
	for range 10 {
		answers <- s.get("http://blog.localhost/", "Accept", "text/html")
	}
	close(answers)
	for a := range answers {
		retry := a.Header.Get("Retry-After")
		if a.StatusCode != 503 || retry == "" || retry == "0" || !strings.Contains(a.text, "could not be started") || strings.Contains(a.text, "secret") {
			t.Fatalf("%s, Retry-After %q: %s", a.Status, retry, a.text)
		}
	}
	if n := b.starts.Load(); n != 1 {
		t.Fatalf("%d starts", n)
	}
}

// TestAHeldBodyIsNotBuffered sends more than fits into the buffers on the way:
// the client is held back until the app reads.
func TestAHeldBodyIsNotBuffered(t *testing.T) {
	const size = 256 << 20
	s := startServer(t)
	b := asleep(t, s, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	var sent atomic.Int64
	body := &countingReader{left: size, sent: &sent}
	done := make(chan answer, 1)
	go func() {
		defer close(done)
		req, _ := http.NewRequest(http.MethodPost, "http://blog.localhost/", body)
		res, err := s.client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		done <- answer{res, string(text)}
	}()
	b.held(1)
	// What has been sent stops growing once the buffers are full.
	for last, same := int64(-1), 0; same < 50; time.Sleep(2 * time.Millisecond) {
		if n := sent.Load(); n == last {
			same++
		} else {
			last, same = n, 0
		}
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if n := sent.Load(); n > size/4 || memory.HeapAlloc > size/2 {
		t.Errorf("%d of %d bytes were taken, the heap holds %d", n, size, memory.HeapAlloc)
	}
	b.up <- nil
	if a := <-done; a.text != fmt.Sprint(int64(size), error(nil)) {
		t.Errorf("the app got %q", a.text)
	}
}

// countingReader gives left bytes of zeros and counts them.
type countingReader struct {
	left int64
	sent *atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.left)
	clear(p[:n])
	r.left -= n
	r.sent.Add(n)
	return int(n), nil
}

// TestAHeldRequestIsNotToldToContinue sends a header that asks before sending
// its body: the answer comes when the app is awake.
func TestAHeldRequestIsNotToldToContinue(t *testing.T) {
	s := startServer(t)
	b := asleep(t, s, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "got %s", body)
	})
	conn, err := net.Dial("tcp", net.JoinHostPort(s.address, strconv.Itoa(s.options.HTTPPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	b.held(1)
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("told to go on while the app sleeps")
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	b.up <- nil
	first := make([]byte, len("HTTP/1.1 100"))
	if _, err := io.ReadFull(conn, first); err != nil || string(first) != "HTTP/1.1 100" {
		t.Fatalf("%q, %v", first, err)
	}
	fmt.Fprint(conn, "hello")
	rest, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(rest), "got hello") {
		t.Fatalf("%q, %v", rest, err)
	}
}

func TestAWebSocketCountsAsARequest(t *testing.T) {
	s := startServer(t)
	r := startRelease(1)
	defer r.kill()
	s.set(r.route())
	ws := dialWebSocket(t, s)
	echo(t, ws, "v1")
	if n := s.table.Load("blog").InFlight; n != 1 {
		t.Errorf("%d requests are under way with a WebSocket open", n)
	}
	ws.Close(websocket.StatusNormalClosure, "")
	(&sleeper{s: s}).held(0)
}

func TestAWebSocketWakesAnApp(t *testing.T) {
	s := startServer(t)
	r := startRelease(1)
	defer r.kill()
	b := asleep(t, s, nil)
	b.dial = r.server.Listener.Addr().String()
	b.up <- nil
	ws := dialWebSocket(t, s)
	echo(t, ws, "v1")
}

func TestWhatDoesNotWake(t *testing.T) {
	s := startServer(t)
	b := asleep(t, s, says("awake"))
	permission := &Permission{table: s.table, gate: newGate()}
	permission.gate.open()
	if err := permission.CertificateAllowed(t.Context(), "blog.example.com"); err != nil {
		t.Error(err)
	}
	for _, a := range []answer{
		s.get("http://blog.localhost/up", "User-Agent", "Hop3-Readiness"),
		s.get("http://blog.localhost/.well-known/acme-challenge/x"),
	} {
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.text, "asleep") {
			t.Errorf("%s %q", a.Status, a.text)
		}
	}
	if a := s.get("http://blog.example.com/"); a.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("in clear by a real name: %s", a.Status)
	}
	if n := b.starts.Load(); n != 0 {
		t.Errorf("%d starts", n)
	}
}

// TestFallingAsleepLosesNothing puts an app to sleep again and again, in ways
// that race with its requests.
func TestFallingAsleepLosesNothing(t *testing.T) {
	s := startServer(t)
	r := startRelease(1)
	defer r.kill()
	b := &sleeper{s: s}
	s.table.SetWaker(func(context.Context, string) error { return s.table.Set(context.Background(), r.route()) })
	b.sleeps()
	stop := clients(s, 4)
	for range 300 {
		b.sleeps()
		for s.table.Lookup("blog.localhost").Status == hop3.RouteAsleep {
			runtime.Gosched()
		}
	}
	count, wrong := stop()
	if len(wrong) > 0 {
		t.Fatalf("%d of %d requests failed, the first one by: %s", len(wrong), count, wrong[0])
	}
}

// BenchmarkWake is what holding a request adds to an app's own start, which
// here takes no time at all.
func BenchmarkWake(b *testing.B) {
	s := startServer(b)
	app := httptest.NewServer(says("awake"))
	defer app.Close()
	route := upstreams("blog", 1, "blog.localhost", app.Listener.Addr().String())
	s.table.SetWaker(func(context.Context, string) error { return s.table.Set(context.Background(), route) })
	sleeper := &sleeper{s: s}
	for b.Loop() {
		sleeper.sleeps()
		if a := s.get("http://blog.localhost/"); a.text != "awake" {
			b.Fatal(a.Status)
		}
	}
}
