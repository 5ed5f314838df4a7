package caddymodules

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// rawApp is an app that answers the heads of requests with raw bytes, and
// closes the connection when answer says so.
func rawApp(t *testing.T, answer func(head string) (raw string, closes bool)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				reader := bufio.NewReader(c)
				for {
					var head strings.Builder
					for !strings.HasSuffix(head.String(), "\r\n\r\n") {
						b, err := reader.ReadByte()
						if err != nil {
							return
						}
						head.WriteByte(b)
					}
					raw, closes := answer(head.String())
					if _, err := io.WriteString(c, raw); err != nil || closes {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// What goes direct reaches the app, and the client, as it does by Caddy's
// reverse proxy.
func TestDirect_AsByCaddy(t *testing.T) {
	s := startServer(t, func(o *BaseOptions) { o.TrustedProxies = []string{"127.0.0.0/8"} })
	heads := make(chan string, 4)
	var answer atomic.Pointer[string]
	app := rawApp(t, func(head string) (string, bool) {
		heads <- head
		return *answer.Load(), strings.Contains(*answer.Load(), "Connection: close") || strings.HasPrefix(*answer.Load(), "HTTP/1.0")
	})
	s.policed("plain", []string{app})
	s.policed("caddy", []string{app}, "buffer", "requests")
	requests := []string{
		"GET / HTTP/1.1\r\nHost: %s.localhost\r\nConnection: close\r\n\r\n",
		"GET /a%%20b/../c//d?x=1&y=%%2f?# HTTP/1.1\r\nHost: %s.localhost\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nX-Yours: 2\r\nX-Yours: 3\r\nKeep-Alive: 5\r\nTe: trailers, gzip\r\nProxy-Authorization: x\r\n\r\n",
		"HEAD /? HTTP/1.1\r\nHost: %s.localhost\r\nconnection: close\r\nuser-agent: Me\r\nCookie: a=1; b=2\r\nx-forwarded-for: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: other.example\r\nVia: 1.1 them\r\n\r\n",
		"GET http://%[1]s.localhost/abs HTTP/1.1\r\nHost: %[1]s.localhost\r\nConnection: close\r\nAccept-Encoding: br\r\nX-Empty:\r\nX-Spaces:  a  b  \r\nContent-Length: 0\r\nRange: bytes=1-2\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: %s.localhost\r\n\r\n",
	}
	answers := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\nServer: Own\r\nVia: 1.1 x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nhello",
		"HTTP/1.1 404 Not Here\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Other\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nEtag: \"x\"\r\nUpgrade: h2\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: x\n\n",
		"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nProxy-Authenticate: x\r\nAlt-Svc: y\r\n\r\n",
	}
	for _, request := range requests {
		for _, raw := range answers {
			if strings.HasPrefix(request, "HEAD") {
				raw, _, _ = strings.Cut(raw, "\r\n\r\n")
				raw += "\r\n\r\n"
			}
			answer.Store(&raw)
			var saw, got [2]string
			for i, name := range []string{"plain", "caddy"} {
				got[i] = comparable(name, s.raw(fmt.Sprintf(request, name)))
				select {
				case head := <-heads:
					saw[i] = comparable(name, head)
				case <-time.After(5 * time.Second):
					t.Fatalf("%s: %q did not reach the app, %q", name, request, got[i])
				}
			}
			if saw[0] != saw[1] {
				t.Errorf("%q\ndirect the app saw %q\nand by Caddy        %q", request, saw[0], saw[1])
			}
			if got[0] != got[1] {
				t.Errorf("%q, %q\ndirect the client got %q\nand by Caddy           %q", request, raw, got[0], got[1])
			}
		}
	}
}

// comparable is a message without what differs from one to the next, its
// header in order.
func comparable(name, message string) string {
	head, body, _ := strings.Cut(strings.ReplaceAll(message, name+".localhost", "app.localhost"), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "X-Request-") || strings.HasPrefix(line, "Date:")
	})
	for i, line := range lines {
		if list, ok := strings.CutPrefix(line, "Trailer: "); ok { // in Caddy's the order is that of a map
			names := strings.Split(list, ", ")
			slices.Sort(names)
			lines[i] = "Trailer: " + strings.Join(names, ", ")
		}
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n\n" + body
}

// An answer that is not whole does not look whole, and one that is none is
// not passed on.
func TestDirect_BadAnswers(t *testing.T) {
	s := startServer(t)
	var answer atomic.Pointer[string]
	var asked atomic.Int64
	s.set(upstreams("blog", 1, "blog.localhost", rawApp(t, func(string) (string, bool) {
		asked.Add(1)
		return *answer.Load(), true
	})))
	for raw, status := range map[string]int{
		"":                         502,
		"nonsense\r\n\r\n":         502,
		"HTTP/1.1 200 OK\r\nX: y":  502,
		"HTTP/1.1 050 Low\r\n\r\n": 502,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n": 502,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!":       502,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxAnswerHead) + "\r\n\r\n":    502,
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9):                           502,
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello":                             0,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello":               0,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n":           0,
	} {
		answer.Store(&raw)
		asked.Store(0)
		res, err := s.client.Get("http://blog.localhost/")
		if err == nil {
			var body []byte
			body, err = io.ReadAll(res.Body)
			res.Body.Close()
			if status == 502 && (res.StatusCode != 502 || !bytes.Contains(body, []byte("Request "))) {
				t.Errorf("%.60q: %s %q", raw, res.Status, body)
			}
		}
		if (status == 0) != (err != nil) {
			t.Errorf("%.60q: %v", raw, err)
		}
		if n := asked.Load(); status == 502 && n != 2 {
			t.Errorf("%.60q: the app was asked %d times, want 2", raw, n)
		}
	}
}

// A server closes its idle connections when it likes: no request is lost.
func TestDirect_ConnectionsThatAreClosed(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", rawApp(t, func(string) (string, bool) {
		return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true
	})))
	for i := range 300 {
		if a := s.get("http://blog.localhost/"); a.text != "ok" {
			t.Fatalf("request %d: %s %q", i, a.Status, a.text)
		}
	}
}

// Connections are used again, what nobody asked for on one is given to nobody,
// and idle ones are closed.
func TestDirect_Connections(t *testing.T) {
	s := startServer(t)
	states := make(chan http.ConnState, 1000)
	app := httptest.NewUnstartedServer(says("ok"))
	app.Config.ConnState = func(_ net.Conn, state http.ConnState) { states <- state }
	app.Start()
	t.Cleanup(app.Close)
	s.set(upstreams("blog", 1, "blog.localhost", app.Listener.Addr().String()))
	for range 50 {
		s.get("http://blog.localhost/")
	}
	opened := 0
	for closed := false; !closed; {
		select {
		case state := <-states:
			switch state {
			case http.StateNew:
				opened++
			case http.StateClosed:
				closed = true
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the idle connection is not closed")
		}
	}
	if opened != 1 {
		t.Errorf("%d connections for 50 requests", opened)
	}

	s.set(upstreams("blog", 2, "blog.localhost", rawApp(t, func(head string) (string, bool) {
		return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false
	})))
	for range 20 {
		if a := s.get("http://blog.localhost/"); a.text != "ok" {
			t.Fatalf("%s %q", a.Status, a.text)
		}
	}
}

// An app knows when its client leaves, before and in its answer.
func TestDirect_AClientThatLeaves(t *testing.T) {
	s := startServer(t)
	left, asked := make(chan string, 2), make(chan string, 2)
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			fmt.Fprint(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
		asked <- r.URL.Path
		<-r.Context().Done()
		left <- r.URL.Path
	})))
	for _, scheme := range []string{"http", "https"} {
		for _, path := range []string{"/begun", "/silent"} {
			ctx, leave := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, "GET", scheme+"://blog.localhost"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				<-asked
				leave()
			}()
			res, err := s.client.Do(req)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", path, err)
			}
			select {
			case <-left:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the app of a client that left goes on", path)
			}
			leave()
		}
	}
	if err := s.table.Remove(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	if err := s.table.Drain(t.Context(), hop3.ReleaseID{App: "blog", Number: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestDirect_EarlyHints(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Link", "</other.css>; rel=preload")
		fmt.Fprint(w, "ok")
	})))
	for _, scheme := range []string{"http", "https"} {
		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, header.Get("Link")))
			return nil
		}}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", scheme+"://blog.localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := strings.Join(hints, "|"); got != "103</style.css>; rel=preload" || len(res.Header["Link"]) != 1 || res.Header.Get("Link") != "</other.css>; rel=preload" {
			t.Errorf("%s: %q, then %q", scheme, got, res.Header["Link"])
		}
	}
}

func TestDirect_WhatGoesDirect(t *testing.T) {
	plain, h2c := &hop3.Route{}, &hop3.Route{Policy: &hop3.HTTPPolicy{Upstream: hop3.UpstreamH2C}}
	request := func(method, url, body string, header ...string) *http.Request {
		r := httptest.NewRequest(method, url, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	for i, c := range []struct {
		request *http.Request
		route   *hop3.Route
		want    bool
	}{
		{request("GET", "/", ""), plain, true},
		{request("HEAD", "/x?y", ""), plain, true},
		{request("GET", "/", ""), &hop3.Route{Policy: &hop3.HTTPPolicy{Sticky: true}}, true},
		{request("GET", "/", "body"), plain, false},
		{request("POST", "/", ""), plain, false},
		{request("DELETE", "/", ""), plain, false},
		{request("GET", "/", "", "Upgrade", "websocket"), plain, false},
		{request("GET", "/", "", "Expect", "100-continue"), plain, false},
		{request("GET", "/", ""), h2c, false},
		{request("GET", "/", ""), &hop3.Route{Policy: &hop3.HTTPPolicy{BufferResponses: true}}, false},
	} {
		if got := goesDirect(c.request, c.route); got != c.want {
			t.Errorf("case %d: %v", i, got)
		}
	}
}
