package hop3test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/abilian/hop3/hop3"
)

func (t *proxyTest) carriesWebSockets() {
	t.set(hop3.Route{App: "ws", Release: 1, Hosts: []string{"ws.test"}, Upstreams: []string{t.app(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, text, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, text) != nil {
				return
			}
		}
	})}})
	for _, scheme := range []string{"ws", "wss"} {
		conn, _, err := websocket.Dial(t.Context(), scheme+"://ws.test/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: t.http1()}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			want := fmt.Sprint(scheme, i)
			if err := conn.Write(t.Context(), websocket.MessageText, []byte(want)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := conn.Read(t.Context()); err != nil || string(got) != want {
				t.Fatalf("the echo of %s is %q, %v", want, got, err)
			}
		}
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	}
}

// http1 is the client's way to the server without HTTP/2, in which there is no
// upgrade.
func (t *proxyTest) http1() *http.Transport {
	made := t.client.Transport.(*http.Transport).Clone()
	made.ForceAttemptHTTP2 = false
	made.TLSClientConfig.NextProtos = []string{"http/1.1"}
	t.Cleanup(made.CloseIdleConnections)
	return made
}

func (t *proxyTest) carriesLargeBodies() {
	const size = 100 << 20
	t.set(hop3.Route{App: "large", Release: 1, Hosts: []string{"large.test"}, Upstreams: []string{t.app(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, n, err)
			return
		}
		_, _ = io.CopyN(w, zeros{}, size) // a visitor who leaves is seen there
	})}})
	for _, scheme := range []string{"http", "https"} {
		res, err := t.client.Post(scheme+"://large.test/", "application/octet-stream", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // read to its end
		if want := fmt.Sprint(size, error(nil)); string(text) != want || err != nil {
			t.Errorf("up by %s: %q, %v, want %q", scheme, text, err, want)
		}
		if res, err = t.client.Get(scheme + "://large.test/"); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close() // read to its end
		if n != size || err != nil {
			t.Errorf("down by %s: %d bytes, %v", scheme, n, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// streams checks that each part of an answer arrives before the next is
// written.
func (t *proxyTest) streams() {
	next := make(chan struct{})
	t.set(hop3.Route{App: "stream", Release: 1, Hosts: []string{"stream.test"}, Upstreams: []string{t.app(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})}})
	res, err := t.client.Get("http://stream.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
			t.Fatalf("event %d is %q, %v", i, lines.Text(), lines.Err())
		}
		lines.Scan() // the empty line
		next <- struct{}{}
	}
}

func (t *proxyTest) drains() {
	arrived, answer := make(chan struct{}), make(chan struct{})
	r := hop3.Route{App: "slow", Release: 1, Hosts: []string{"slow.test"}, Upstreams: []string{t.app(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-answer
		_, _ = io.WriteString(w, "at last")
	})}}
	t.set(r)
	got := make(chan string, 1)
	go func() {
		res, err := t.client.Get("http://slow.test/")
		if err != nil {
			got <- err.Error()
			return
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		got <- string(text)
	}()
	<-arrived
	old := hop3.ReleaseID{App: "slow", Number: 1}
	r.Release, r.Upstreams, r.Hosts = 2, []string{t.app(says("new"))}, []string{"slow.test", "more.test"}
	t.set(r)
	t.wants(200, "new", "http://slow.test/")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if t.Proxy.Drain(ctx, old) == nil {
		t.Error("a release with a request under way counts as drained")
	}
	close(answer)
	if err := t.Proxy.Drain(t.Context(), old); err != nil {
		t.Error(err)
	}
	if text := <-got; text != "at last" {
		t.Errorf("the request that was under way got %q", text)
	}
}

// losesNothing changes release and hosts of one app, and other apps come and
// go, under load by new connections and kept ones.
func (t *proxyTest) losesNothing() {
	const changes = 8
	r := hop3.Route{App: "busy", Release: 1, Hosts: []string{"busy.test"}, Upstreams: []string{t.app(says("ok"))}}
	t.set(r)
	load, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	var requests, failures atomic.Int64
	for i := range 4 {
		transport := t.client.Transport.(*http.Transport).Clone()
		transport.DisableKeepAlives = i%2 == 1
		client := &http.Client{Transport: transport}
		url := "http://busy.test/"
		if i >= 2 {
			url = "https://busy.test/"
		}
		clients.Go(func() {
			defer transport.CloseIdleConnections()
			for load.Err() == nil {
				requests.Add(1)
				err := ok(t.Context(), client, url)
				if NotBegun(err) {
					err = ok(t.Context(), client, url)
				}
				if err != nil && failures.Add(1) <= 5 {
					t.Errorf("%s: %v", url, err)
				}
			}
		})
	}
	for n := range changes {
		for before := requests.Load(); requests.Load() < before+20; {
			runtime.Gosched() // where changes are quick, there would be no load
		}
		r.Release, r.Upstreams = n+2, []string{t.app(says("ok"))}
		r.Hosts = []string{"busy.test", fmt.Sprintf("busy%d.test", n%3)}
		t.set(r)
		t.set(hop3.Route{App: "guest", Release: n + 1, Hosts: []string{fmt.Sprintf("guest%d.test", n)}, Status: hop3.RouteStopped})
		if n%2 == 0 {
			if err := t.Proxy.Remove(t.Context(), "guest"); err != nil {
				t.Error(err)
			}
		}
	}
	stop()
	clients.Wait()
	t.Logf("%d changes of the routes, %d requests, %d failures", changes*2, requests.Load(), failures.Load())
}

// NotBegun reports whether an HTTP/2 connection was closed before its first
// request, as a worker of nginx that leaves does with a connection it has just
// accepted: it says that it has begun nothing (GOAWAY, RFC 9113 section 6.8).
// Browsers ask again then; Go's client, alone, calls the server unreachable.
func NotBegun(err error) bool {
	return err != nil && strings.HasSuffix(err.Error(), "http2: client conn could not be established")
}

// ok makes a request that must be answered.
func ok(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(text) != "ok") {
		err = fmt.Errorf("%s: %.200q", res.Status, text)
	}
	return err
}
