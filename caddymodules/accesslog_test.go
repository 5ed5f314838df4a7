package caddymodules

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// logged returns the lines of an app's access log once there are n.
func (s *server) logged(app string, n int) []string {
	s.t.Helper()
	var lines []string
	s.eventually(fmt.Sprintf("%s has %d lines", app, n), func() bool {
		text, err := os.ReadFile(filepath.Join(s.options.Home, "apps", app, "log", "access.log"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		return len(text) > 0 && len(lines) >= n
	})
	return lines
}

// logDir makes the directory of an app's logs, as a deploy does.
func (s *server) logDir(app string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Join(s.options.Home, "apps", app, "log"), 0o750); err != nil {
		s.t.Fatal(err)
	}
}

func TestAccessLog(t *testing.T) {
	s := startServer(t)
	s.logDir("blog")
	app := backend(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) })
	route := upstreams("blog", 12, "blog.localhost", app)
	route.Names = []string{"web.2"}
	s.set(route)
	s.do(http.MethodPost, "http://blog.localhost/a%20b?x=1&token=abc&x=%0a", "12345", "Referer", "https://example.com/?session=abc",
		"User-Agent", "x\"} \u202e", "X-Request-Id", "my-own-request-id", "Authorization", "Bearer abc", "Cookie", "sid=abc", "X-Forwarded-For", "192.0.2.1")
	line := s.logged("blog", 1)[0]
	if strings.Contains(line, "abc") {
		t.Errorf("a secret is in %s", line)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"id": "my-own-request-id", "remote": "127.0.0.1", "method": "POST", "host": "blog.localhost", "uri": "/a%20b?x=1&token=***&x=%0a", "proto": "HTTP/1.1",
		"status": 418.0, "bytes": 3.0, "received": 5.0, "release": 12.0, "instance": "web.2",
		"referer": "https://example.com/?session=***", "user_agent": "x\"} \u202e",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, not %q", key, got[key], want)
		}
	}
	if at, err := time.Parse(time.RFC3339, got["ts"].(string)); err != nil || time.Since(at) > time.Minute {
		t.Errorf("ts is %v", got["ts"])
	}
	if took := got["duration"].(float64); took <= 0 || took > 60 {
		t.Errorf("duration is %v", took)
	}
}

// How requests are written down is the release's, and changes with it.
func TestAccessLog_Formats(t *testing.T) {
	s := startServer(t)
	s.logDir("blog")
	app := backend(t, says("hello"))
	n := 0
	for _, format := range []string{"combined", "off", "json", ""} {
		settings := []string{"allow-http", "true"}
		if format != "" {
			settings = append(settings, "access-log", format)
		}
		s.policed("blog", []string{app}, settings...)
		s.get("http://blog.localhost/" + format)
		if format == "off" {
			continue
		}
		n++
		line := s.logged("blog", n)[n-1]
		if want := map[string]string{"combined": `"GET /combined HTTP/1.1" 200 5 "-" "Go-http-client/1.1"`}[format]; !strings.Contains(line, want) || want == "" && !json.Valid([]byte(line)) {
			t.Errorf("%s: %s", format, line)
		}
	}
	if lines := s.logged("blog", n); len(lines) != n || strings.Contains(strings.Join(lines, ""), "/off") {
		t.Errorf("%q", lines)
	}
}

// The log of an app has what it answered, also for others, and nobody else's.
func TestAccessLog_WhoseItIs(t *testing.T) {
	s := startServer(t)
	for _, app := range []string{"api", "blog", "shut"} {
		s.logDir(app)
	}
	s.policed("api", []string{backend(t, says("api"))}, "allow-http", "true", "access-log", "combined")
	s.policed("blog", []string{backend(t, says("blog"))}, "allow-http", "true", "route./api", "api", "deny", "192.0.2.1")
	s.set(hop3.Route{App: "shut", Hosts: []string{"shut.localhost"}, Status: hop3.RouteStopped})
	s.get("http://blog.localhost/api/x")
	s.get("http://blog.localhost/own")
	s.get("http://shut.localhost/")
	s.get("http://nobody.localhost/")
	if lines := s.logged("api", 1); len(lines) != 1 || !strings.Contains(lines[0], `"GET /api/x HTTP/1.1" 200 3`) {
		t.Errorf("%q", lines)
	}
	if lines := s.logged("blog", 1); len(lines) != 1 || !strings.Contains(lines[0], `"uri":"/own"`) {
		t.Errorf("%q", lines)
	}
	if lines := s.logged("shut", 1); !strings.Contains(lines[0], `"status":503`) || !strings.Contains(lines[0], `"instance":""`) {
		t.Errorf("%q", lines)
	}
}

func TestAccessLog_Streams(t *testing.T) {
	s := startServer(t)
	s.logDir("blog")
	r := startRelease(1)
	defer r.kill()
	s.set(r.route())
	ws := dialWebSocket(t, s)
	echo(t, ws, "v1")
	ws.Close(websocket.StatusNormalClosure, "")
	if lines := s.logged("blog", 1); len(lines) != 1 || !strings.Contains(lines[0], `"status":101`) {
		t.Errorf("%q", lines)
	}
}

// What was answered before the end is written down.
func TestAccessLog_TheEndOfTheServer(t *testing.T) {
	s := startServer(t)
	s.logDir("blog")
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, says("hello"))))
	for range 50 {
		s.get("http://blog.localhost/")
	}
	s.client.CloseIdleConnections()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if lines := s.logged("blog", 1); len(lines) != 50 {
		t.Errorf("%d lines are written", len(lines))
	}
}

func TestAccessLog_AFullDiskFailsNoRequest(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	s := observed(t)
	s.logDir("blog")
	dir := filepath.Join(s.options.Home, "apps", "blog", "log")
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=755,size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, says("hello"))))
	for range 200 {
		if a := s.get("http://blog.localhost/"); a.StatusCode != http.StatusOK || a.text != "hello" {
			t.Fatalf("%d %q", a.StatusCode, a.text)
		}
	}
	s.eventually("the lines are counted", func() bool { return sum(s.scrape(), "hop3_access_log_dropped_lines_total") == 200 })
}
