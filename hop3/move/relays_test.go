package move

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

// relayed asks a relay for a page of a host, as a proxy does.
func relayed(t *testing.T, upstream string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://blog.old.example/a%2Fb?c=d", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	change(req)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(upstream, "unix/"))
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestARelayPassesOn(t *testing.T) {
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s for %s by %s: %s", r.Method, r.Host, r.RequestURI, r.Header["X-Forwarded-For"], r.Header.Get(api.MoveRelayHeader), body)
	}))
	defer there.Close()
	dir := filepath.Join(t.TempDir(), "relays")
	relays := NewRelays(dir, slog.New(slog.DiscardHandler))
	upstream, err := relays.Open("blog", hop3.RelayTarget{Server: there.URL, Secret: "s", Hosts: []string{"blog.new.example", "www.example.org", "*.w.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"www.example.org":     "www.example.org",
		"www.example.org:81":  "www.example.org",
		"blog.old.example":    "blog.new.example",
		"any.w.example.org":   "any.w.example.org",
		"a.b.w.example.org":   "blog.new.example",
		"evil.example.org\\x": "blog.new.example",
	} {
		code, body := relayed(t, upstream, func(r *http.Request) {
			r.Host = host
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
			r.Header.Set(api.MoveRelayHeader, "another's")
		})
		if code == http.StatusBadRequest && strings.Contains(host, `\`) {
			continue // refused before it comes to us
		}
		if want = fmt.Sprintf("POST %s /a%%2Fb?c=d for [192.0.2.7] by s: body", want); code != http.StatusTeapot || body != want {
			t.Errorf("%s: %d %q, want %q", host, code, body, want)
		}
	}
	// Opened again it is the same, with another server.
	again, err := relays.Open("blog", hop3.RelayTarget{Server: "http://127.0.0.1:1", Secret: "s"})
	if err != nil || again != upstream {
		t.Errorf("opened again it is %s, %v", again, err)
	}
	if code, body := relayed(t, upstream, func(*http.Request) {}); code != http.StatusBadGateway || !strings.Contains(body, "has moved") {
		t.Errorf("where nothing answers: %d %s", code, body)
	}
	// A server that was killed leaves its socket; one that runs has it.
	left, err := net.Listen("unix", filepath.Join(dir, "left.sock"))
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	if err := NewRelays(dir, nil).Sweep(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("in the directory are %v", files)
	}
	relays.Close("blog")
	relays.Close("blog")
	relays.Shutdown(t.Context())
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left are %v", files)
	}
}

// What is upgraded, as a WebSocket, goes both ways.
func TestARelayPassesUpgradesOn(t *testing.T) {
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, "you said "+line)
	}))
	defer there.Close()
	relays := NewRelays(t.TempDir(), slog.New(slog.DiscardHandler))
	defer relays.Shutdown(t.Context())
	upstream, err := relays.Open("blog", hop3.RelayTarget{Server: there.URL, Secret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", strings.TrimPrefix(upstream, "unix/"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: blog.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := in.ReadString('\n'); err != nil || line != "you said hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}
