package hop3test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// ProxyServer is a server with the proxy under test, as visitors reach it.
type ProxyServer struct {
	Proxy hop3.Proxy
	// HTTP and HTTPS are the addresses, host:port, of the public ports.
	HTTP, HTTPS string
}

// Proxy is the contract of hop3.Proxy, seen from outside. The server answers
// for no app yet; every subtest has apps of its own.
func Proxy(t *testing.T, s ProxyServer) {
	for _, c := range []struct {
		name string
		run  func(*proxyTest)
	}{
		{"RoutesByHost", (*proxyTest).routesByHost},
		{"ReplacesAndRemoves", (*proxyTest).replacesAndRemoves},
		{"RefusesAHostOfAnotherApp", (*proxyTest).refusesConflict},
		{"RefusesWhatIsNoHost", (*proxyTest).refusesHostile},
		{"TellsThatAnAppIsStopped", (*proxyTest).tellsStopped},
		{"ReachesUpstreamsOfEachKind", (*proxyTest).reachesUpstreams},
		{"GoesAroundADeadUpstream", (*proxyTest).goesAroundDead},
		{"PassesTheRequestOnAsItIs", (*proxyTest).passesOn},
		{"SaysWhoTheClientIs", (*proxyTest).saysClient},
		{"HasACertificateForEveryHost", (*proxyTest).certifies},
		{"RedirectsToHTTPS", (*proxyTest).redirects},
		{"CarriesWebSockets", (*proxyTest).carriesWebSockets},
		{"CarriesLargeBodies", (*proxyTest).carriesLargeBodies},
		{"PassesOnAtOnce", (*proxyTest).streams},
		{"DrainsARelease", (*proxyTest).drains},
		{"LosesNothingWhileRoutesChange", (*proxyTest).losesNothing},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newProxyTest(t, s)) })
	}
}

// proxyTest is one test of a proxy.
type proxyTest struct {
	*testing.T
	ProxyServer
	client *http.Client // finds every host at the server, trusts everybody, follows nothing
}

func newProxyTest(t *testing.T, s ProxyServer) *proxyTest {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to := s.HTTP
			if strings.HasSuffix(address, ":443") {
				to = s.HTTPS
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &proxyTest{T: t, ProxyServer: s, client: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// set sets a route, and removes it at the test's end.
func (t *proxyTest) set(r hop3.Route) {
	t.Helper()
	if err := t.Proxy.Set(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := t.Proxy.Remove(context.WithoutCancel(t.Context()), r.App); err != nil {
			t.Error(err)
		}
	})
}

// get asks for a URL and returns status and body.
func (t *proxyTest) get(url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
		}
	}
	res, err := t.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// wants asks for a URL that must be answered so.
func (t *proxyTest) wants(status int, text, url string, header ...string) {
	t.Helper()
	res, got := t.get(url, header...)
	if res.StatusCode != status || text != "" && got != text {
		t.Errorf("%s %v: %d %.200q, want %d %q", url, header, res.StatusCode, got, status, text)
	}
}

// app serves with a handler and returns its dial address.
func (t *proxyTest) app(h http.HandlerFunc) string {
	made := httptest.NewServer(h)
	t.Cleanup(made.Close)
	return made.Listener.Addr().String()
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// Private

func (t *proxyTest) routesByHost() {
	t.set(hop3.Route{App: "one", Release: 1, Hosts: []string{"one.test", "*.wild.test"}, Upstreams: []string{t.app(says("one"))}})
	t.set(hop3.Route{App: "two", Release: 1, Hosts: []string{"two.test", "own.wild.test"}, Upstreams: []string{t.app(says("two"))}})
	t.wants(200, "one", "http://one.test/")
	t.wants(200, "one", "http://one.test/", "Host", "ONE.Test")
	t.wants(200, "one", "http://one.test/", "Host", "one.test.")
	t.wants(200, "one", "http://one.test/", "Host", "one.test:8080")
	t.wants(200, "one", "http://any.wild.test/")
	t.wants(200, "two", "http://own.wild.test/")
	t.wants(200, "two", "http://two.test/")
	t.wants(404, "", "http://three.test/")
	t.wants(404, "", "http://wild.test/")
	t.wants(404, "", "http://too.deep.wild.test/")
}

func (t *proxyTest) replacesAndRemoves() {
	r := hop3.Route{App: "shop", Release: 1, Hosts: []string{"shop.test", "old.test"}, Upstreams: []string{t.app(says("v1"))}}
	t.set(r)
	t.wants(200, "v1", "http://shop.test/")
	r.Release, r.Upstreams, r.Hosts = 2, []string{t.app(says("v2"))}, []string{"shop.test", "new.test"}
	t.set(r)
	t.wants(200, "v2", "http://shop.test/")
	t.wants(200, "v2", "http://new.test/")
	t.wants(404, "", "http://old.test/")
	for range 2 { // what is not there can be removed
		if err := t.Proxy.Remove(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		t.wants(404, "", "http://shop.test/")
	}
}

func (t *proxyTest) refusesConflict() {
	t.set(hop3.Route{App: "first", Release: 1, Hosts: []string{"mine.test"}, Upstreams: []string{t.app(says("first"))}})
	thief := hop3.Route{App: "second", Release: 1, Hosts: []string{"second.test", "mine.test"}, Upstreams: []string{t.app(says("second"))}}
	if err := t.Proxy.Set(t.Context(), thief); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Fatalf("taking another app's host: %v", err)
	}
	t.wants(200, "first", "http://mine.test/")
	t.wants(404, "", "http://second.test/")
}

func (t *proxyTest) refusesHostile() {
	t.set(hop3.Route{App: "good", Release: 1, Hosts: []string{"good.test"}, Upstreams: []string{t.app(says("good"))}})
	for _, host := range []string{"a b.test", "a;}.test", "`x`.test", "$host.test", "a\n.test", "../a.test", "\"a\".test", "~^.*$", "{a}.test", ""} {
		err := t.Proxy.Set(t.Context(), hop3.Route{App: "bad", Release: 1, Hosts: []string{"bad.test", host}, Upstreams: []string{"127.0.0.1:1"}})
		if hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("the host %q: %v", host, err)
		}
	}
	t.wants(404, "", "http://bad.test/")
	t.wants(200, "good", "http://good.test/")
}

func (t *proxyTest) tellsStopped() {
	r := hop3.Route{App: "rest", Hosts: []string{"rest.test"}, Status: hop3.RouteStopped}
	t.set(r)
	res, text := t.get("http://rest.test/")
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "stopped") || res.Header.Get("Retry-After") == "" {
		t.Errorf("a stopped app: %d %q %v", res.StatusCode, text, res.Header)
	}
}

func (t *proxyTest) reachesUpstreams() {
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	made := &http.Server{Handler: says("by a socket"), ReadHeaderTimeout: time.Minute}
	go func() { _ = made.Serve(l) }() // until it is closed
	t.Cleanup(func() { _ = made.Close() })
	t.set(hop3.Route{App: "unix", Release: 1, Hosts: []string{"unix.test"}, Upstreams: []string{"unix/" + path}})
	t.set(hop3.Route{App: "port", Release: 1, Hosts: []string{"port.test"}, Upstreams: []string{t.app(says("by a port"))}})
	t.wants(200, "by a socket", "http://unix.test/")
	t.wants(200, "by a port", "http://port.test/")
}

func (t *proxyTest) goesAroundDead() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.set(hop3.Route{App: "many", Release: 1, Hosts: []string{"many.test"}, Upstreams: []string{dead, t.app(says("alive")), t.app(says("alive"))}})
	for range 20 {
		t.wants(200, "alive", "http://many.test/")
	}
}

func (t *proxyTest) passesOn() {
	t.set(hop3.Route{App: "echo", Release: 1, Hosts: []string{"echo.test"}, Upstreams: []string{t.app(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Twice"] = []string{"a", "b"}
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header["X-Many"])
	})}})
	res, text := t.get("http://echo.test/a%2Fb//c/?x=1&y=%20", "X-Many", "1", "X-Many", "2")
	if want := "GET /a%2Fb//c/?x=1&y=%20 echo.test [1 2]"; text != want || res.StatusCode != http.StatusTeapot {
		t.Errorf("the app got %q and said %d, want %q", text, res.StatusCode, want)
	}
	if got := res.Header["X-Twice"]; len(got) != 2 {
		t.Errorf("the visitor got %v", res.Header)
	}
}

func (t *proxyTest) saysClient() {
	names := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "X-Hop3-Front"}
	t.set(hop3.Route{App: "who", Release: 1, Hosts: []string{"who.test"}, Upstreams: []string{t.app(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range names {
			_, _ = fmt.Fprintln(w, r.Header[name])
		}
	})}})
	client := "127.0.0.1"
	if host, _, err := net.SplitHostPort(t.HTTP); err == nil && host != "" {
		client = host
	}
	var lies []string
	for _, name := range names {
		lies = append(lies, name, "lie")
	}
	for _, scheme := range []string{"http", "https"} {
		_, text := t.get(scheme+"://who.test/", lies...)
		lines := strings.Split(text, "\n")
		if strings.Contains(text, "lie") || lines[1] != "["+scheme+"]" || lines[2] != "[who.test]" || strings.Count(lines[0], ".") != 3 {
			t.Errorf("by %s from %s the app is told %q", scheme, client, lines)
		}
	}
}

func (t *proxyTest) certifies() {
	hosts := []string{"cert.test", "www.cert.test", "other.example"}
	t.set(hop3.Route{App: "cert", Release: 1, Hosts: hosts, Upstreams: []string{t.app(says("safe"))}})
	for _, host := range hosts {
		res, text := t.get("https://" + host + "/")
		if text != "safe" || res.TLS.PeerCertificates[0].VerifyHostname(host) != nil {
			t.Errorf("%s: %q with a certificate for %v", host, text, res.TLS.PeerCertificates[0].DNSNames)
		}
	}
	conn, err := tls.Dial("tcp", t.HTTPS, &tls.Config{ServerName: "nobody.test", InsecureSkipVerify: true})
	if err == nil {
		_ = conn.Close()
		t.Error("there is a certificate for a name of nobody's")
	}
}

func (t *proxyTest) redirects() {
	r := hop3.Route{App: "public", Release: 1, Hosts: []string{"public.hop3.dev"}, Upstreams: []string{t.app(says("page"))}}
	t.set(r)
	res, _ := t.get("http://public.hop3.dev/a?b=c")
	if to := res.Header.Get("Location"); res.StatusCode != http.StatusPermanentRedirect || !strings.HasPrefix(to, "https://public.hop3.dev") || !strings.HasSuffix(to, "/a?b=c") {
		t.Errorf("in clear: %d to %q", res.StatusCode, to)
	}
	r.Release, r.AllowHTTP = 2, true
	t.set(r)
	t.wants(200, "page", "http://public.hop3.dev/")
}
