package tests

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startOwnProgram starts a server from a copy of the program, which it may
// replace.
func startOwnProgram(t *testing.T) *server {
	t.Helper()
	s := prepareServer(t)
	s.program = []string{filepath.Join(s.dir, "bin", "hop3"), "run"}
	if err := os.Mkdir(filepath.Join(s.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	copyProgram(t, s.program[0])
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// copyProgram copies hop3. Even a link would do, but for a test that counts
// what becomes of the file.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(binaries, "hop3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// load is clients that ask for an app until they are stopped.
type load struct {
	t        *testing.T
	all      sync.WaitGroup
	stop     context.CancelFunc
	requests atomic.Int64
	failed   atomic.Int64
	slowest  atomic.Int64
}

// startLoad begins requests over HTTP and HTTPS: GETs and POSTs, on
// connections that are kept and on new ones.
func (s *server) startLoad(t *testing.T, host string) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, stop: stop}
	t.Cleanup(l.end)
	plain := "http://127.0.0.1:" + strconv.Itoa(s.http)
	secure := "https://" + host + ":" + strconv.Itoa(s.https)
	for _, c := range []struct {
		method, url string
		kept        bool
	}{
		{"GET", plain, true}, {"GET", plain, false}, {"POST", plain, true}, {"POST", plain, false},
		{"GET", secure, true}, {"GET", secure, false},
	} {
		transport := &http.Transport{
			DisableKeepAlives: !c.kept,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(strings.Replace(strings.TrimPrefix(c.url, "http://"), secure, "127.0.0.1:"+strconv.Itoa(s.https), 1), "https://"))
			},
		}
		l.all.Go(func() {
			defer transport.CloseIdleConnections()
			tick := time.NewTicker(15 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				began := time.Now()
				if err := ask(transport, c.method, c.url, host); err != nil && l.failed.Add(1) <= 20 {
					t.Errorf("%s %s (connection kept: %t): %v", c.method, c.url, c.kept, err)
				}
				l.requests.Add(1)
				l.slowest.Store(max(l.slowest.Load(), int64(time.Since(began))))
			}
		})
	}
	return l
}

// ask makes one request that must be answered with 200 within a minute,
// without a second attempt of the client's.
func ask(transport *http.Transport, method, url, host string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	req.Host = host
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	return wholeAndOK(res)
}

// end stops the clients and reports.
func (l *load) end() {
	l.stop()
	l.all.Wait()
}

// onlyProcess waits until one process of an app is left: git tidies up after a
// push.
func (s *server) onlyProcess(t *testing.T, app string) []int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // between two polls
		pids := s.processesOf(app)
		if len(pids) == 1 {
			return pids
		}
		if time.Now().After(deadline) {
			t.Fatalf("the app's processes are %d, want one", pids)
		}
	}
}

// TestReloadUnderLoad reloads and upgrades a server under load, while a
// download and pushes are under way. No request fails, no connection is
// refused, the apps' processes and the server's stay what they are, a program
// that cannot run changes nothing, and one that cannot start is undone.
func TestReloadUnderLoad(t *testing.T) {
	s := startOwnProgram(t)
	dir := loadRepository(t, s, "load")
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	app, process := s.onlyProcess(t, "load"), s.cmd.Process.Pid
	same := func(after string) {
		t.Helper()
		if now := s.onlyProcess(t, "load"); !slices.Equal(now, app) {
			t.Fatalf("after %s the app's processes are %d, before %d", after, now, app)
		}
		lock, err := os.ReadFile(filepath.Join(s.home, "run", "server.lock"))
		if err != nil || strings.TrimSpace(string(lock)) != strconv.Itoa(process) {
			t.Fatalf("after %s the server's process is %q, %v; it was %d", after, lock, err, process)
		}
	}
	l := s.startLoad(t, "load.localhost")

	for n := range 5 {
		if out, err := s.run(dir, "hop3", "reload"); err != nil || !strings.Contains(out, "Reloaded in") {
			t.Fatalf("reload %d: %s, %v", n, out, err)
		}
		same("a reload")
	}

	t.Run("a download goes on to its end", func(t *testing.T) {
		const size = 200 // bytes, at 100 a second
		first := make(chan struct{})
		done := make(chan error, 1)
		go func() { done <- s.download("load.localhost", "/slow?n="+strconv.Itoa(size), size, first) }()
		<-first
		if _, err := s.run(dir, "hop3", "reload"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		same("a reload with a download")
	})

	t.Run("an upgrade", func(t *testing.T) {
		old, err := os.Stat(s.program[0])
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(s.dir, "hop3-new")
		copyProgram(t, program)
		out, err := s.run(dir, program, "upgrade")
		if err != nil || !strings.Contains(out, "Upgraded from") {
			t.Fatalf("%s, %v", out, err)
		}
		same("an upgrade")
		if previous, err := os.Stat(s.program[0] + ".previous"); err != nil || !os.SameFile(old, previous) {
			t.Errorf("the old program was not kept: %v", err)
		}
		if now, err := os.Stat(fmt.Sprintf("/proc/%d/exe", process)); err != nil || os.SameFile(old, now) {
			t.Errorf("the process still runs the old program: %v", err)
		}
	})

	installed, err := os.Stat(s.program[0])
	if err != nil {
		t.Fatal(err)
	}
	unchanged := func(t *testing.T) {
		t.Helper()
		same("a failed upgrade")
		if now, err := os.Stat(s.program[0]); err != nil || !os.SameFile(now, installed) {
			t.Errorf("another program is installed now: %v", err)
		}
		if now, err := os.Stat(fmt.Sprintf("/proc/%d/exe", process)); err != nil || !os.SameFile(now, installed) {
			t.Errorf("the process runs another program: %v", err)
		}
		left, err := filepath.Glob(filepath.Join(s.dir, "bin", ".hop3-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
	for name, c := range map[string]struct{ program, want string }{
		"no program at all":     {"nonsense", "exec format error"},
		"another program":       {"#!/bin/sh\nexit 0\n", "another program than Hop3"},
		"a program that fails":  {"#!/bin/sh\necho it is broken >&2\nexit 1\n", "it is broken"},
		"one that cannot start": {"#!/bin/sh\ncase \"$*\" in *--check) exec " + s.program[0] + " \"$@\";; esac\nexec " + s.program[0] + ".previous \"$@\" --http-port nonsense\n", "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(s.dir, "broken")
			if err := os.WriteFile(program, []byte(c.program), 0o755); err != nil {
				t.Fatal(err)
			}
			out, err := s.run(dir, "hop3", "upgrade", "--binary", program)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("said %q, %v", out, err)
			}
			unchanged(t)
		})
	}

	l.end()
	t.Logf("%d requests, %d failed, the slowest took %s", l.requests.Load(), l.failed.Load(), time.Duration(l.slowest.Load()))
	if l.requests.Load() == 0 {
		t.Error("there was no load")
	}
}

// download reads a page that takes its time, and closes first when it has
// begun.
func (s *server) download(host, path string, size int, first chan<- struct{}) error {
	begun := sync.OnceFunc(func() { close(first) })
	defer begun()
	req, err := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d%s", s.http, path), nil)
	if err != nil {
		return err
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	begun()
	body, err := io.ReadAll(res.Body)
	if err == nil && len(body) != size {
		err = fmt.Errorf("got %d of %d bytes", len(body), size)
	}
	return err
}

// TestReloadFinishesPushes reloads while pushes are under way and while new
// ones come: all are accepted, and what they pushed runs.
func TestReloadFinishesPushes(t *testing.T) {
	s := startOwnProgram(t)
	dir := loadRepository(t, s, "load")
	slow := "[build]\nbuild = [\"sleep 1\"]\n"
	if err := s.commit(dir, map[string]string{"hop3.toml": slow}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 4; n++ {
		if err := s.commit(dir, map[string]string{"version": strconv.Itoa(n) + "\n"}); err != nil {
			t.Fatal(err)
		}
		push := exec.Command("git", "push", "hop3", "main")
		push.Dir, push.Env = dir, s.env
		said, err := push.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := push.Start(); err != nil {
			t.Fatal(err)
		}
		if n > 2 { // the first one meets the reload before it has said anything
			if _, err := said.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		rest := make(chan []byte, 1)
		go func() {
			data, _ := io.ReadAll(said)
			rest <- data
		}()
		if out, err := s.run(dir, "hop3", "reload"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text := <-rest
		if err := push.Wait(); err != nil {
			t.Fatalf("push %d: %v\n%s", n, err, text)
		}
		if _, body, err := s.get(t.Context(), "load.localhost", "/"); err != nil || strings.TrimSpace(body) != strconv.Itoa(n) {
			t.Fatalf("after push %d the app answers %q, %v", n, body, err)
		}
	}
}

// TestReloadTakesNewSettings changes the settings file: a reload puts it into
// effect, by command or SIGHUP, and one with a mistake, or a port that is
// taken, is refused while everything goes on.
func TestReloadTakesNewSettings(t *testing.T) {
	s := prepareServer(t)
	s.env = withoutPrefixes(s.env, "HTTP_PORT=")
	file := filepath.Join(s.home, "hop3-server.toml")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(s.home, 0o711); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := s.http, 0
	if err := freePorts(&second); err != nil {
		t.Fatal(err)
	}
	write(fmt.Sprintf("http_port = %d\n", first))
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	answers := func(port int) error {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err == nil {
			res.Body.Close()
		}
		return err
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for text, want := range map[string]string{
		"http_prot = 80\n": "http_prot",
		fmt.Sprintf("http_port = %d\n", taken.Addr().(*net.TCPAddr).Port): "cannot be used",
	} {
		write(text)
		if out, err := s.run(s.dir, "hop3", "reload"); err == nil || !strings.Contains(out, want) {
			t.Errorf("with %q reload said %q, %v", text, out, err)
		}
		if err := answers(first); err != nil {
			t.Fatalf("after a refused reload: %v", err)
		}
	}

	write(fmt.Sprintf("http_port = %d\n", second))
	if out, err := s.run(s.dir, "hop3", "reload"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := answers(second); err != nil {
		t.Error(err)
	}
	if err := answers(first); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the old port still answers: %v", err)
	}

	write(fmt.Sprintf("http_port = %d\n", first))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for answers(first) != nil {
		if time.Now().After(deadline) {
			t.Fatal("SIGHUP did not put the settings into effect")
		}
		time.Sleep(20 * time.Millisecond) // between two polls
	}
}
