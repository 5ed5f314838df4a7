package ready

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestProbe(t *testing.T) {
	for _, test := range []struct {
		name   string
		check  hop3.HealthCheck
		answer http.HandlerFunc
		want   string // in the error; "" when ready
	}{
		{"any page", hop3.HealthCheck{}, text(200, "hello"), ""},
		{"nothing at the root", hop3.HealthCheck{}, text(404, "not found"), ""},
		{"a redirect", hop3.HealthCheck{Path: "/health"}, http.RedirectHandler("http://192.0.2.1/login", http.StatusFound).ServeHTTP, ""},
		{"a broken root", hop3.HealthCheck{}, text(500, "no database\nat line 3"), "GET / answered 500 Internal Server Error: no database"},
		{"a broken root in HTML", hop3.HealthCheck{}, text(503, "<html>\n"), "GET / answered 503 Service Unavailable"},
		{"a health path that is not there", hop3.HealthCheck{Path: "/health"}, text(404, ""), "GET /health answered 404 Not Found"},
		{"the wanted text", hop3.HealthCheck{Path: "/health?full=1", Contains: "up"}, text(200, "all is up"), ""},
		{"not the wanted text", hop3.HealthCheck{Contains: "up"}, text(200, "all is down"), `GET / answered 200 OK without "up" in it`},
		{"the wanted text too far down", hop3.HealthCheck{Contains: "up"}, text(200, strings.Repeat(" ", 256<<10)+"up"), "without"},
		{"no answer", hop3.HealthCheck{Timeout: 50 * time.Millisecond}, hang, "GET / had no answer within 50ms"},
		{"half an answer", hop3.HealthCheck{Contains: "up", Timeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "all is ")
			w.(http.Flusher).Flush()
			hang(w, r)
		}, "had no answer within"},
		{"a closed connection", hop3.HealthCheck{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "closed without an answer"},
		{"an escape sequence", hop3.HealthCheck{}, text(500, "\x1b[2Jgone"), "Error: [2Jgone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := make(chan string, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- fmt.Sprintf("%s, close %v", r.Host, r.Close)
				test.answer(w, r)
			}))
			defer server.Close()
			err := new(Prober).Probe(t.Context(), server.Listener.Addr().String(), "shop.example.com", test.check)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Probe = %v, want %q", err, test.want)
			}
			if got, want := <-asked, "shop.example.com, close true"; got != want {
				t.Errorf("asked with Host %s, want %s", got, want)
			}
		})
	}
}

func TestProbeOfAnAddressWhereNothingIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, upstream := range []string{l.Addr().String(), "unix/" + filepath.Join(t.TempDir(), "none.sock")} {
		if err := new(Prober).Probe(t.Context(), upstream, "", hop3.HealthCheck{}); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Probe(%s) = %v", upstream, err)
		}
	}
}

func TestOwner(t *testing.T) {
	dir, err := os.MkdirTemp("", "ready") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	for _, listen := range [][2]string{{"tcp4", "127.0.0.1:0"}, {"tcp4", "0.0.0.0:0"}, {"tcp", ":0"}, {"unix", socket}} {
		l, err := net.Listen(listen[0], listen[1])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		upstream := "unix/" + socket
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			upstream = fmt.Sprintf("127.0.0.1:%d", tcp.Port)
		}
		if err := new(Prober).Owner(upstream, os.Getpid()); err != nil {
			t.Errorf("Owner(%s) = %v, want nil for the one who listens", upstream, err)
		}
		stranger := startProgram(t, "sleep")
		want := fmt.Sprintf("(pid %d)", os.Getpid())
		if err := new(Prober).Owner(upstream, stranger); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Owner(%s) = %v for another process, want one that names %s", upstream, err, want)
		}
		l.Close()
		if err := new(Prober).Owner(upstream, os.Getpid()); err == nil {
			t.Errorf("Owner(%s) = nil where nobody listens", upstream)
		}
	}
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	<-ctx.Done()
}
