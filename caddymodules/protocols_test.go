package caddymodules

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/abilian/hop3/hop3"
)

// everything is a policy that has a hand in every answer.
var everything = []string{
	"headers.X-Policy", "1", "timeout", "30s", "encode", "zstd gzip", "hsts", "on", "rate-limit", "100000/s", "max-body", "1T", "sticky", "on", "allow-http", "true",
}

// withAndWithout runs a test of an app that has no policy, and of one that has.
func withAndWithout(t *testing.T, s *server, upstream string, test func(t *testing.T)) {
	t.Helper()
	for name, settings := range map[string][]string{"plain": nil, "policy": everything} {
		s.policed("blog", []string{upstream}, settings...)
		t.Run(name, test)
	}
	// Behind a firewall that leaves bodies of types it does not know alone.
	fenced(t, s, upstream, hop3.WAF{Tunings: []hop3.WAFTuning{{SkipBody: true, Rules: []int{920340, 920420}}}}, "allow-http", "true")
	t.Run("firewall", test)
}

func TestProtocols_HTTP(t *testing.T) {
	s := startServer(t, func(o *BaseOptions) { o.HTTP3 = true })
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Proto+" "+r.Host+" "+r.Header.Get("X-Forwarded-Proto"))
		w.Header().Set("Trailer", "X-Sum")
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256(body)))
	})
	h3 := &http3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Dial: func(ctx context.Context, _ string, config *tls.Config, qconfig *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, fmt.Sprintf("%s:%d", s.address, s.options.HTTPSPort), config, qconfig)
		},
	}
	t.Cleanup(func() { _ = h3.Close() })
	h1 := s.transport()
	h1.ForceAttemptHTTP2, h1.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
	t.Cleanup(h1.CloseIdleConnections)
	body := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	withAndWithout(t, s, app, func(t *testing.T) {
		for major, transport := range map[int]http.RoundTripper{1: h1, 2: s.client.Transport, 3: h3} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "https://blog.localhost/x", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("HTTP/%d: %v", major, err)
			}
			got, err := io.ReadAll(res.Body)
			if err != nil || string(got) != body || res.ProtoMajor != major {
				t.Errorf("HTTP/%d: %s, %d bytes, %v", major, res.Proto, len(got), err)
			}
			if seen := res.Header.Get("X-Seen"); seen != "HTTP/1.1 blog.localhost https" {
				t.Errorf("HTTP/%d: the app saw %q", major, seen)
			}
			if sum := res.Trailer.Get("X-Sum"); sum != want {
				t.Errorf("HTTP/%d: the trailer is %q", major, sum)
			}
			res.Body.Close()
		}
	})
}

func TestProtocols_WebSocket(t *testing.T) {
	s := startServer(t)
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(2 << 20)
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	})
	withAndWithout(t, s, app, func(t *testing.T) {
		for _, url := range []string{"ws://blog.localhost/", "wss://blog.localhost/"} {
			transport := s.transport()
			transport.ForceAttemptHTTP2, transport.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
			c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"chat"}})
			if err != nil {
				t.Fatalf("%s: %v", url, err)
			}
			c.SetReadLimit(2 << 20)
			for _, size := range []int{1, 125, 126, 70_000, 1 << 20} {
				sent := strings.Repeat("é", size/2) + "."
				if err := c.Write(t.Context(), websocket.MessageText, []byte(sent)); err != nil {
					t.Fatalf("%s: %v", url, err)
				}
				if _, got, err := c.Read(t.Context()); err != nil || string(got) != sent {
					t.Fatalf("%s: %d bytes came back, %v", url, len(got), err)
				}
			}
			if c.Subprotocol() != "chat" {
				t.Errorf("%s: the subprotocol is %q", url, c.Subprotocol())
			}
			if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		}
	})
}

func TestProtocols_ServerSentEvents(t *testing.T) {
	s := startServer(t)
	read := make(chan struct{})
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-read: // the next is not written before the last has arrived
			case <-r.Context().Done():
				return
			}
		}
	})
	withAndWithout(t, s, app, func(t *testing.T) {
		for _, scheme := range []string{"http", "https"} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", scheme+"://blog.localhost/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", "identity")
			res, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(res.Body)
			for i := range 5 {
				if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
					t.Fatalf("%s: event %d is %q, %v", scheme, i, lines.Text(), lines.Err())
				}
				lines.Scan()
				read <- struct{}{}
			}
			res.Body.Close()
		}
	})
}

func TestProtocols_GRPC(t *testing.T) {
	s := startServer(t)
	socket := filepath.Join(t.TempDir(), "grpc.sock")
	byUnix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	byTCP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, states := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, states)
	for _, l := range []net.Listener{byUnix, byTCP} {
		go srv.Serve(l)
	}
	t.Cleanup(srv.Stop)
	for name, upstream := range map[string]string{"unix": "unix/" + socket, "tcp": byTCP.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			s.policed("blog", []string{upstream}, append([]string{"upstream", "h2c"}, everything...)...)
			conn, err := grpc.NewClient("passthrough:///blog.localhost", grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, ServerName: "blog.localhost"})),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", s.address, s.options.HTTPSPort))
				}))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			client := grpc_health_v1.NewHealthClient(conn)
			if res, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil || res.Status != grpc_health_v1.HealthCheckResponse_SERVING {
				t.Fatalf("%v, %v", res, err)
			}
			if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nosuch"}); grpcCode(err) != "NotFound" {
				t.Errorf("the status, which is in the trailer, came as %v", err)
			}
			states.SetServingStatus("x", grpc_health_v1.HealthCheckResponse_SERVING)
			stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "x"})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING} {
				res, err := stream.Recv()
				if err != nil || res.Status != want {
					t.Fatalf("%v, %v, want %v", res, err, want)
				}
				states.SetServingStatus("x", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
			}
		})
	}
}

// TestProtocols_LargeBodies sends and fetches what is larger than any buffer:
// the memory of the server, and of the app and the client that are in this
// process too, does not grow with it.
func TestProtocols_LargeBodies(t *testing.T) {
	const size, most = 200 << 20, 48 << 20
	s := startServer(t)
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, zeros{}, size)
	})
	withAndWithout(t, s, app, func(t *testing.T) {
		for _, scheme := range []string{"http", "https"} {
			peak := peakMemory(t, func() {
				req, err := http.NewRequestWithContext(t.Context(), "POST", scheme+"://blog.localhost/", io.LimitReader(zeros{}, size))
				if err != nil {
					t.Fatal(err)
				}
				res, err := s.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if text, err := io.ReadAll(res.Body); string(text) != fmt.Sprint(size) {
					t.Errorf("%s: the app got %s, %v", scheme, text, err)
				}
				res.Body.Close()
				if res, err = s.client.Get(scheme + "://blog.localhost/"); err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
					t.Errorf("%s: %d bytes came, %v", scheme, n, err)
				}
				res.Body.Close()
			})
			if peak > most {
				t.Errorf("%s: %d MB more memory was in use", scheme, peak>>20)
			}
		}
	})
}

// zeros is a source without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// peakMemory returns by how much the memory in use grew while f ran.
func peakMemory(t *testing.T, f func()) uint64 {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m.HeapInuse, m.HeapInuse
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			case <-done:
				return
			}
		}
	}()
	f()
	close(done)
	<-ended
	return peak - before
}

// A request that two servers may take for different ones reaches no app, or
// all of it reaches one.
func TestProtocols_Smuggling(t *testing.T) {
	s := startServer(t)
	seen := make(chan string, 16)
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- fmt.Sprintf("%s %s %q", r.Method, r.URL.Path, body)
		fmt.Fprint(w, "answered")
	})
	const tail = "GET /smuggled HTTP/1.1\r\nHost: blog.localhost\r\n\r\n"
	withAndWithout(t, s, app, func(t *testing.T) {
		for name, request := range map[string]string{
			"two CLs":                  "POST / HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 0\r\nContent-Length: 60\r\n\r\n" + tail,
			"CL list":                  "POST / HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 0, 60\r\n\r\n" + tail,
			"CL with sign":             "POST / HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: +0\r\n\r\n" + tail,
			"TE with tab":              "POST / HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding:\tchunked, identity\r\n\r\n0\r\n\r\n" + tail,
			"TE unknown":               "POST / HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding: xchunked\r\n\r\n" + tail,
			"two TEs":                  "POST / HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + tail,
			"space before colon":       "POST / HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length : 60\r\n\r\n" + tail,
			"obs-fold":                 "POST / HTTP/1.1\r\nHost: blog.localhost\r\nX: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
			"obs-fold of TE":           "POST / HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
			"bare CR":                  "GET / HTTP/1.1\r\nHost: blog.localhost\r\nX: a\rContent-Length: 60\r\n\r\n",
			"NUL":                      "GET / HTTP/1.1\r\nHost: blog.localhost\r\nX: a\x00b\r\n\r\n",
			"two Hosts":                "GET / HTTP/1.1\r\nHost: blog.localhost\r\nHost: other.localhost\r\n\r\n",
			"no Host":                  "GET / HTTP/1.1\r\n\r\n",
			"chunk size with sign":     "POST / HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + tail,
			"chunk size too large":     "POST / HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n" + tail,
			"CL in a trailer":          "POST / HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 60\r\n\r\n",
			"space in the path":        "GET /a b HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
			"version":                  "GET / HTTP/1.2x\r\nHost: blog.localhost\r\n\r\n",
			"absolute form, two names": "GET http://other.localhost/ HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n",
		} {
			got := s.rawFor(request, 300*time.Millisecond)
			for done := false; !done; {
				select {
				case request := <-seen:
					// Of what was taken at all, nothing of the tail may be a request.
					if strings.Contains(request, "/smuggled") && strings.HasPrefix(request, "GET") {
						t.Errorf("%s: the app got %s; %.80q", name, request, got)
					}
					// These are GETs; a POST is one before it, which the app got late.
					if (name == "two Hosts" || name == "no Host" || strings.HasPrefix(name, "absolute")) && strings.HasPrefix(request, "GET") {
						t.Errorf("%s: the app got %s", name, request)
					}
				default:
					done = true
				}
			}
		}
	})
}

// Two requests on one connection stay two, whatever the first one's body is.
// Of two lengths the chunks count (RFC 9112, section 6.3), and the app sees
// one length only.
func TestProtocols_Pipelining(t *testing.T) {
	s := startServer(t)
	s.policed("blog", []string{backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(r.Header["Content-Length"])+len(r.TransferEncoding) > 1 {
			t.Errorf("%s has two lengths", r.URL.Path)
		}
		fmt.Fprintf(w, "[%s %q]", r.URL.Path, body)
	})}, everything...)
	got := s.raw("POST /a HTTP/1.1\r\nHost: blog.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=\"1\"\r\nGET\r\n0\r\n\r\n" +
		"POST /d HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 500\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
		"POST /b HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 3\r\n\r\nabc" + "GET /c HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n")
	for _, want := range []string{`[/a "GET"]`, `[/d ""]`, `[/b "abc"]`, `[/c ""]`} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%q is not there once in %q", want, got)
		}
	}
}

// Whatever is random gets through as it is, in chunks of any size.
func TestProtocols_RandomChunks(t *testing.T) {
	s := startServer(t)
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	withAndWithout(t, s, app, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 5 {
			read, write := io.Pipe()
			sent := sha256.New()
			go func() {
				for range 50 {
					part := make([]byte, 1+random.IntN(40_000))
					for i := range part {
						part[i] = byte(random.Uint32())
					}
					sent.Write(part)
					if _, err := write.Write(part); err != nil {
						return
					}
				}
				write.Close()
			}()
			req, err := http.NewRequestWithContext(t.Context(), "POST", "https://blog.localhost/", read)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got := sha256.New()
			if _, err := io.Copy(got, res.Body); err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if fmt.Sprintf("%x", got.Sum(nil)) != fmt.Sprintf("%x", sent.Sum(nil)) {
				t.Error("what came back is not what was sent")
			}
		}
	})
}
