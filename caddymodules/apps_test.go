package caddymodules

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestARequestReachesTheAppOfItsHost(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, says("blog"))))
	s.set(upstreams("shop", 1, "shop.localhost", backend(t, says("shop"))))
	for _, app := range []string{"blog", "shop"} {
		for _, host := range []string{app + ".localhost", strings.ToUpper(app) + ".localhost:8080", app + ".localhost."} {
			if a := s.get("http://x/", "Host", host); a.StatusCode != 200 || a.text != app {
				t.Errorf("%s: %s %q", host, a.Status, a.text)
			}
		}
	}
}

func TestAnAppCanListenOnAUnixSocket(t *testing.T) {
	s := startServer(t)
	socket := filepath.Join(t.TempDir(), "web.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: says("by socket")}
	t.Cleanup(func() { srv.Close() })
	go srv.Serve(l)
	s.set(upstreams("blog", 1, "blog.localhost", "unix/"+socket))
	if a := s.get("http://blog.localhost/"); a.text != "by socket" {
		t.Fatalf("%s %q", a.Status, a.text)
	}
}

func TestAClientCannotSayWhoItIs(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, false)
		w.Write(dump)
	})))
	header := []string{"Accept", "kept", "X-Custom", "kept"}
	for _, name := range []string{
		"Proxy", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme",
		"X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Uri", "X-Real-Ip", "X-Remote-Address",
		"X-Remote-User", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Url", "X-Rewrite-Url", "X-Accel-Redirect", "X-Request-Start",
		"Forwarded", "Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Remote-User", "Remote-Addr",
		"X_forwarded_for", "X_Forwarded-For", "X_real_ip", "X.real.ip", "Remote_User", "Remote_user", "Remote.User", "Http_Proxy", "Content_Length",
	} {
		header = append(header, name, "spoofed")
	}
	got := s.get("http://blog.localhost/", header...).text
	if strings.Contains(got, "spoofed") {
		t.Errorf("a spoofed header got through:\n%s", got)
	}
	for _, want := range []string{"Accept: kept", "X-Custom: kept", "Host: blog.localhost", "X-Forwarded-Host: blog.localhost", "X-Forwarded-Proto: http\r", "X-Forwarded-For: 127.", "X-Request-Start: t=1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestATrustedProxyMaySayWhoTheClientIs(t *testing.T) {
	s := startServer(t, func(o *BaseOptions) { o.TrustedProxies = []string{"127.0.0.0/8"} })
	s.set(upstreams("blog", 1, "blog.example.com", backend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Real-Ip"))
	})))
	a := s.get("http://blog.example.com/", "X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Real-Ip", "192.0.2.2")
	if !strings.HasPrefix(a.text, "192.0.2.1, 127.") || !strings.HasSuffix(a.text, "https192.0.2.2") {
		t.Fatalf("%s %q", a.Status, a.text)
	}
}

func TestHostsWithoutAnAppGetAPage(t *testing.T) {
	s := startServer(t)
	s.set(hop3.Route{App: "off", Hosts: []string{"off.localhost"}, Status: "stopped"})
	s.set(hop3.Route{App: "broken", Hosts: []string{"broken.localhost"}, Status: "failed"})
	s.set(hop3.Route{App: "worker", Hosts: []string{"worker.localhost"}})
	for _, c := range []struct {
		host   string
		status int
		says   string
	}{
		{"unknown.localhost", 404, "No app lives here"},
		{"off.localhost", 503, "stopped"},
		{"broken.localhost", 503, "not running"},
		{"worker.localhost", 503, "does not answer"},
	} {
		a := s.get("http://" + c.host + "/")
		if a.StatusCode != c.status || !strings.Contains(a.text, c.says) || strings.Contains(a.text, "<") {
			t.Errorf("%s as text: %s %q", c.host, a.Status, a.text)
		}
		if retry := a.Header.Get("Retry-After"); (retry != "") != (c.status == 503) {
			t.Errorf("%s: Retry-After is %q", c.host, retry)
		}
		a = s.get("http://"+c.host+"/", "Accept", "text/html,*/*")
		if a.StatusCode != c.status || !strings.Contains(a.text, c.says) || !strings.HasPrefix(a.text, "<!doctype html>") {
			t.Errorf("%s as HTML: %s %q", c.host, a.Status, a.text)
		}
		if a := s.do(http.MethodHead, "http://"+c.host+"/", ""); a.StatusCode != c.status || a.text != "" {
			t.Errorf("%s with HEAD: %s %q", c.host, a.Status, a.text)
		}
	}
}

func TestARequestTheAppDoesNotAnswerHasAnID(t *testing.T) {
	s := startServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	s.set(upstreams("blog", 1, "blog.localhost", l.Addr().String()))
	a := s.do(http.MethodPost, "http://blog.localhost/", "order", "Accept", "text/html")
	if a.StatusCode != 502 || !strings.Contains(a.text, "Request <code>") {
		t.Fatalf("%s %q", a.Status, a.text)
	}
}

func TestARequestThatKillsItsInstanceIsRepeatedOnce(t *testing.T) {
	s := startServer(t)
	var asked atomic.Int64
	dies := func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1); r.URL.Path == "/once" && asked.Load() > 1 {
			w.Header().Set("Connection", "close") // Go repeats by itself what fails on one that was used before
			return
		}
		panic(http.ErrAbortHandler)
	}
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, dies), backend(t, dies)))
	for path, want := range map[string]int{"/once": 200, "/always": 502} {
		asked.Store(0)
		if a := s.get("http://blog.localhost" + path); a.StatusCode != want || asked.Load() != 2 {
			t.Errorf("%s: %s after %d attempts, want %d after 2", path, a.Status, asked.Load(), want)
		}
	}
}

func TestRealDomainsAreRedirectedToHTTPS(t *testing.T) {
	s := startServer(t)
	b := backend(t, says("ok"))
	s.set(upstreams("blog", 1, "blog.example.com", b))
	s.set(upstreams("local", 1, "blog.localhost", b))
	s.set(hop3.Route{App: "plain", Release: 1, Hosts: []string{"plain.example.com"}, Upstreams: []string{b}, AllowHTTP: true})

	a := s.get("http://blog.example.com/a%20b?c=d")
	want := fmt.Sprintf("https://blog.example.com:%d/a%%20b?c=d", s.options.HTTPSPort)
	if a.StatusCode != http.StatusPermanentRedirect || a.Header.Get("Location") != want {
		t.Errorf("%s to %q, want %q", a.Status, a.Header.Get("Location"), want)
	}
	for _, host := range []string{"blog.localhost", "plain.example.com"} {
		if a := s.get("http://" + host + "/"); a.StatusCode != 200 {
			t.Errorf("%s: %s", host, a.Status)
		}
	}
}

func TestTheControlPlaneHasItsOwnHostsAndAddress(t *testing.T) {
	s := startServer(t, func(o *BaseOptions) {
		o.ControlHosts = []string{"hop3.localhost", "localhost"}
		o.ControlHandlers = append(o.ControlHandlers, []byte(`{"handler": "static_response", "body": "control"}`))
		o.RPCAddress = fmt.Sprintf("%s:%d", o.BindHost, freePort(t, o.BindHost))
	})
	s.set(upstreams("thief", 1, "hop3.localhost", backend(t, says("thief"))))
	for _, url := range []string{"http://hop3.localhost/", "http://localhost/", "https://hop3.localhost/"} {
		if a := s.get(url); a.text != "control" {
			t.Errorf("%s: %s %q", url, a.Status, a.text)
		}
	}
	res, err := http.Get("http://" + s.options.RPCAddress)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("the RPC address answers %s", res.Status)
	}
}
