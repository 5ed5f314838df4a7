package caddymodules

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/abilian/hop3/hop3"
)

// release is a running release of the app blog: it answers with its number and
// the length of the body, /ws echoes, /events sends an event at each tick.
type release struct {
	number int
	server *httptest.Server
	ticks  chan struct{}
}

func startRelease(number int) *release {
	r := &release{number: number, ticks: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		n, err := io.Copy(io.Discard, req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "v%d %d", number, n)
	})
	mux.HandleFunc("/ws", r.echo)
	mux.HandleFunc("/events", r.events)
	r.server = httptest.NewServer(mux)
	return r
}

func (r *release) route() hop3.Route {
	return upstreams("blog", r.number, "blog.localhost", r.server.Listener.Addr().String())
}

// kill ends the release as a runtime does: whatever is open breaks.
func (r *release) kill() {
	r.server.CloseClientConnections()
	r.server.Close()
}

func (r *release) echo(w http.ResponseWriter, req *http.Request) {
	c, err := websocket.Accept(w, req, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, data, err := c.Read(req.Context())
		if err != nil {
			return
		}
		if err := c.Write(req.Context(), kind, fmt.Appendf(nil, "v%d %s", r.number, data)); err != nil {
			return
		}
	}
}

func (r *release) events(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n := 0; ; n++ {
		fmt.Fprintf(w, "data: v%d %d\n\n", r.number, n)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case _, more := <-r.ticks:
			if !more {
				return
			}
		case <-req.Context().Done():
			return
		}
	}
}

// clients request the app as fast as it goes, from the time the function
// returns until stop is called, which returns how many requests were made
// and what went wrong.
func clients(s *server, n int) (stop func() (int64, []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	var count atomic.Int64
	var mu sync.Mutex
	var wrong []string
	for i := range n {
		done.Go(func() {
			transport := s.transport()
			transport.DisableKeepAlives = i%2 == 0
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for ctx.Err() == nil {
				err := order(client, count.Add(1))
				if err != nil {
					mu.Lock()
					wrong = append(wrong, err.Error())
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) {
		cancel()
		done.Wait()
		return count.Load(), wrong
	}
}

// order makes one request, every third with a body that must not be sent
// twice.
func order(client *http.Client, n int64) error {
	var res *http.Response
	var err error
	want := "0"
	if n%3 == 0 {
		want = "1000"
		res, err = client.Post("http://blog.localhost/", "text/plain", strings.NewReader(strings.Repeat("x", 1000)))
	} else {
		res, err = client.Get("http://blog.localhost/")
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 || !strings.HasSuffix(string(body), " "+want) {
		return fmt.Errorf("%s: %s", res.Status, body)
	}
	return nil
}

func dialWebSocket(t *testing.T, s *server) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://blog.localhost/ws", &websocket.DialOptions{HTTPClient: s.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	return ws
}

func echo(t *testing.T, ws *websocket.Conn, version string) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	_, data, err := ws.Read(t.Context())
	if err != nil || string(data) != version+" hello" {
		t.Fatalf("echo: %q, %v", data, err)
	}
}

// eventStream is a client of /events.
type eventStream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

func openEvents(t *testing.T, s *server) *eventStream {
	t.Helper()
	res, err := s.client.Get("http://blog.localhost/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	e := &eventStream{res.Body, bufio.NewScanner(res.Body)}
	e.expect(t, "data: v1 0")
	return e
}

func (e *eventStream) expect(t *testing.T, line string) {
	t.Helper()
	for e.lines.Scan() {
		if e.lines.Text() != "" {
			break
		}
	}
	if e.lines.Text() != line {
		t.Fatalf("event %q, want %q: %v", e.lines.Text(), line, e.lines.Err())
	}
}

func (e *eventStream) end(t *testing.T) {
	t.Helper()
	for e.lines.Scan() {
		if e.lines.Text() != "" {
			t.Errorf("unexpected event %q", e.lines.Text())
		}
	}
	if e.lines.Err() != nil {
		t.Error(e.lines.Err())
	}
}
