package caddymodules

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/abilian/hop3/hop3"
)

// TestSwitchingReleasesLosesNothing deploys as a platform does, start, switch,
// drain, kill, many times under load, with streams open that belong to the
// first release.
func TestSwitchingReleasesLosesNothing(t *testing.T) {
	const switches = 200
	s := startServer(t)
	live := startRelease(1)
	first := live
	s.set(live.route())

	ws := dialWebSocket(t, s)
	events := openEvents(t, s)
	stop := clients(s, 4)
	for n := 2; n <= switches; n++ {
		next := startRelease(n)
		s.set(next.route())
		if live != first {
			if err := s.table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: live.number}); err != nil {
				t.Fatal(err)
			}
			live.kill()
		}
		live = next
		if n%20 == 0 {
			echo(t, ws, "v1")
			first.ticks <- struct{}{}
			events.expect(t, "data: v1 "+strconv.Itoa(n/20))
		}
	}
	count, wrong := stop()
	if len(wrong) > 0 {
		t.Errorf("%d of %d requests failed, the first one by: %s", len(wrong), count, wrong[0])
	}
	t.Logf("%d switches, %d requests", switches, count)

	s.drainWaits(hop3.ReleaseID{App: "blog", Number: 1})
	close(first.ticks)
	events.end(t)
	s.drainWaits(hop3.ReleaseID{App: "blog", Number: 1}) // for the WebSocket
	ws.Close(websocket.StatusNormalClosure, "")
	if err := s.table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); err != nil {
		t.Fatal(err)
	}
	first.kill()
	live.kill()
}

// drainWaits checks that a release counts as busy.
func (s *server) drainWaits(id hop3.ReleaseID) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Millisecond)
	defer cancel()
	if s.table.Drain(ctx, id) == nil {
		s.t.Errorf("%v counts as drained with a stream open", id)
	}
}

func TestALongDownloadOutlivesTheSwitch(t *testing.T) {
	const size = 64 << 20 // more than all buffers on the way hold
	s := startServer(t)
	old := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	s.set(upstreams("blog", 1, "blog.localhost", old))
	res, err := s.client.Get("http://blog.localhost/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.CopyN(io.Discard, res.Body, size/8)
	if err != nil {
		t.Fatal(err)
	}
	for n := 2; n < 300; n++ {
		s.set(upstreams("blog", n, "blog.localhost", "127.0.0.1:1"))
	}
	s.drainWaits(hop3.ReleaseID{App: "blog", Number: 1})
	rest, err := io.Copy(io.Discard, res.Body)
	if got += rest; err != nil || got != size {
		t.Fatalf("%d of %d bytes: %v", got, size, err)
	}
	if err := s.table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestARequestWaitsForTheNextRelease(t *testing.T) {
	s := startServer(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := dead.Addr().String()
	dead.Close()
	s.set(upstreams("blog", 1, "blog.localhost", address))

	got := make(chan answer, 1)
	go func() {
		defer close(got)
		got <- s.do(http.MethodPost, "http://blog.localhost/", "order")
	}()
	id := hop3.ReleaseID{App: "blog", Number: 1}
	claimed := func() bool { // a request is counted in on v1
		s.set(upstreams("blog", 2, "blog.localhost", address))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if s.table.Drain(ctx, id) != nil {
			return true
		}
		s.set(upstreams("blog", 1, "blog.localhost", address))
		return false
	}
	for !claimed() {
	}
	s.set(upstreams("blog", 3, "blog.localhost", backend(t, says("v3"))))
	if a, ok := <-got; ok && a.text != "v3" {
		t.Fatalf("%s %q", a.Status, a.text)
	}
	if err := s.table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestADeadInstanceIsPassedOver(t *testing.T) {
	s := startServer(t)
	alive := backend(t, says("alive"))
	s.set(upstreams("blog", 1, "blog.localhost", "127.0.0.1:1", alive))
	for range 40 {
		if a := s.get("http://blog.localhost/"); a.text != "alive" {
			t.Fatalf("%s %q", a.Status, a.text)
		}
	}
}

func TestAReloadOfCaddyKeepsRoutesAndStreams(t *testing.T) {
	s := startServer(t)
	r := startRelease(1)
	defer r.kill()
	s.set(r.route())
	ws := dialWebSocket(t, s)
	for range 3 {
		s.load()
		echo(t, ws, "v1")
		s.getsThrough("v1 0")
	}
	ws.Close(websocket.StatusNormalClosure, "")
}

// getsThrough requests the app until Caddy lets it: the server that a reload
// ends closes connections that it has just accepted.
func (s *server) getsThrough(want string) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		res, err := s.client.Get("http://blog.localhost/")
		if err != nil {
			if time.Now().After(deadline) {
				s.t.Fatal(err)
			}
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != want {
			s.t.Fatalf("%s %q: %v", res.Status, body, err)
		}
		return
	}
}

func TestWebSocketsWorkOverTLS(t *testing.T) {
	s := startServer(t)
	r := startRelease(1)
	defer r.kill()
	s.set(r.route())
	transport := s.transport()
	transport.ForceAttemptHTTP2 = false
	defer transport.CloseIdleConnections()
	ws, _, err := websocket.Dial(t.Context(), "wss://blog.localhost/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ws, "v1")
	ws.Close(websocket.StatusNormalClosure, "")
	s.set(upstreams("blog", 2, "blog.localhost", "127.0.0.1:1"))
	if err := s.table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestALargeUploadIsStreamed(t *testing.T) {
	const size = 128 << 20
	s := startServer(t)
	began := make(chan struct{})
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})))
	body, feed := io.Pipe()
	go func() {
		chunk := make([]byte, 1<<20)
		for i := range size / len(chunk) {
			if i == 2 {
				<-began // the app reads before we have sent it all
			}
			if _, err := feed.Write(chunk); err != nil {
				return
			}
		}
		feed.Close()
	}()
	res, err := s.client.Post("http://blog.localhost/", "application/octet-stream", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if want := fmt.Sprint(int64(size), error(nil)); string(text) != want {
		t.Fatalf("got %q, want %q", text, want)
	}
}
