package caddymodules

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/abilian/hop3/hop3"
	_ "github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/hop3/routing"
	_ "github.com/abilian/hop3/hop3/supervisor"
)

// server is a Caddy in this process with the base configuration, reached by
// whatever host a test likes. There can be one at a time.
type server struct {
	t       testing.TB
	options BaseOptions
	address string // of both ports
	table   *routing.Table
	hosts   []string     // of routes with a policy, beside the app's own
	client  *http.Client // follows no redirect, trusts every certificate
}

func startServer(t testing.TB, change ...func(*BaseOptions)) *server {
	t.Helper()
	address := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, address: address, options: BaseOptions{
		Home:      home,
		App:       fmt.Appendf(nil, `{"home": %q, "settings": {"ssh-port": "off"}}`, home),
		BindHost:  address,
		HTTPPort:  freePort(t, address),
		HTTPSPort: freePort(t, address),
		LogLevel:  "ERROR",
	}}
	for s.options.HTTPSPort == s.options.HTTPPort {
		s.options.HTTPSPort = freePort(t, address)
	}
	for _, c := range change {
		c(&s.options)
	}
	s.load()
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	app, err := caddy.ActiveContext().App("hop3")
	if err != nil {
		t.Fatal(err)
	}
	s.table = app.(tableSource).RoutingTable()
	s.client = &http.Client{
		Transport:     s.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// load gives Caddy the configuration, as on a start or a reload.
func (s *server) load() {
	s.t.Helper()
	config, err := BaseConfig(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		s.t.Fatal(err)
	}
}

// freePort returns a port that nothing listens on at an address that nothing
// else uses.
func freePort(t testing.TB, address string) int {
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *server) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			target := s.options.HTTPPort
			if port == "443" {
				target = s.options.HTTPSPort
			}
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("%s:%d", s.address, target))
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 16,
	}
}

func (s *server) set(r hop3.Route) {
	s.t.Helper()
	if err := s.table.Set(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	text string
}

func (s *server) get(url string, header ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, url, "", header...)
}

// do makes a request; header holds names and values in turn.
func (s *server) do(method, url, body string, header ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
		}
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res, string(b)}
}

// backend serves with a handler, and returns its dial address.
func backend(t testing.TB, h http.HandlerFunc) string {
	b := httptest.NewServer(h)
	t.Cleanup(b.Close)
	return b.Listener.Addr().String()
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func upstreams(app string, release int, host string, dial ...string) hop3.Route {
	return hop3.Route{App: app, Release: release, Hosts: []string{host}, Upstreams: dial}
}
