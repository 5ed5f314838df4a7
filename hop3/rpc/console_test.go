package rpc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
	"github.com/abilian/hop3/hop3/console"
)

// deployed is a world with the app blog.
func deployed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	if code, out, errs := w.hop3(w.project("hello"), "deploy"); code != 0 {
		t.Fatal(out, errs)
	}
	return w
}

func (w *world) client(token string) *client.Client {
	w.t.Helper()
	c, err := client.New(client.Config{URL: w.server.URL, Token: token})
	must(w.t, err)
	return c
}

// attach runs a command at a console and returns what it wrote.
func (w *world) attach(stdin io.Reader, tty *client.Terminal, args ...string) (code int, stdout, stderr string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code, err = w.client(w.user).Attach(ctx, args, client.Console{Stdin: stdin, Stdout: &out, Stderr: &errs, Terminal: tty})
	return code, out.String(), errs.String(), err
}

func run(args ...string) []string {
	return append([]string{"app", "run", "--app", "blog", "--"}, args...)
}

func TestExitCodesAreHandedOn(t *testing.T) {
	w := deployed(t)
	for _, want := range []int{0, 1, 2, 7, 126, 127, 128, 200, 255} {
		code, out, errs, err := w.attach(strings.NewReader(""), nil, run("sh", "-c", "echo out; echo err >&2; exit "+strconv.Itoa(want))...)
		if err != nil || code != want || out != "out\n" || errs != "err\n" {
			t.Errorf("exit %d: %d, %q, %q, %v", want, code, out, errs, err)
		}
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSEGV} {
		code, _, _, err := w.attach(nil, nil, run("sh", "-c", fmt.Sprintf("kill -%d $$", signal))...)
		if err != nil || code != 128+int(signal) {
			t.Errorf("%v: %d, %v", signal, code, err)
		}
	}
}

func TestInputAndOutputAreBinary(t *testing.T) {
	w := deployed(t)
	data := make([]byte, 5<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data) // never fails
	code, out, errs, err := w.attach(bytes.NewReader(data), nil, run("cat")...)
	if err != nil || code != 0 || errs != "" || sha256.Sum256([]byte(out)) != sha256.Sum256(data) {
		t.Errorf("%d bytes of %d came back: %d, %q, %v", len(out), len(data), code, errs, err)
	}
	// Who does not read all of it does not wait for it.
	code, out, _, err = w.attach(bytes.NewReader(data), nil, run("head", "-c", "3")...)
	if err != nil || code != 0 || out != string(data[:3]) {
		t.Errorf("%q, %d, %v", out, code, err)
	}
}

func TestOutputComesWhileTheCommandRuns(t *testing.T) {
	w := deployed(t)
	stdin, typed := io.Pipe()
	shown, stdout := io.Pipe()
	go func() {
		_, err := w.client(w.user).Attach(t.Context(), run("sh", "-c", "echo ready; read x; echo got $x"), client.Console{Stdin: stdin, Stdout: stdout, Stderr: io.Discard})
		stdout.CloseWithError(err)
	}()
	buf := make([]byte, 100)
	n, err := shown.Read(buf)
	if err != nil || string(buf[:n]) != "ready\n" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	fmt.Fprintln(typed, "this")
	n, err = shown.Read(buf)
	if err != nil || string(buf[:n]) != "got this\n" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
}

func TestATerminal(t *testing.T) {
	w := deployed(t)
	resizes := make(chan [2]uint16, 1)
	tty := &client.Terminal{Type: "xterm-256color", Rows: 33, Columns: 77, Resizes: resizes}
	script := `test -t 0 && test -t 1 && test -t 2 && echo a terminal; echo $TERM; stty size
trap 'stty size; exit 4' WINCH; trap 'echo interrupted' INT; echo ready; while :; do sleep 0.05; done`
	stdin, typed := io.Pipe()
	defer typed.Close()
	var out transcript
	done := make(chan error, 1)
	var code int
	go func() {
		var err error
		code, err = w.client(w.user).Attach(t.Context(), run("sh", "-c", script), client.Console{Stdin: stdin, Stdout: &out, Stderr: io.Discard, Terminal: tty})
		done <- err
	}()
	out.wait(t, "a terminal\r\nxterm-256color\r\n33 77\r\nready\r\n")
	_, err := typed.Write([]byte{3}) // Ctrl-C
	must(t, err)
	out.wait(t, "interrupted")
	resizes <- [2]uint16{50, 120}
	out.wait(t, "50 120\r\n")
	if err := <-done; err != nil || code != 4 {
		t.Errorf("%d, %v", code, err)
	}
}

func TestAShell(t *testing.T) {
	w := deployed(t)
	code, out, errs, err := w.attach(strings.NewReader("cat greeting; echo; echo $HOP3_PROCESS; exit 9\n"), nil, "app", "shell", "--app", "blog", "--type", "web")
	if err != nil || code != 9 || out != "hello\nshell.web\n" {
		t.Errorf("%d, %q, %q, %v", code, out, errs, err)
	}
	_, _, _, err = w.attach(nil, nil, "shell", "--app", "blog", "--type", "nothing")
	if refused := new(client.Error); !errors.As(err, &refused) || !strings.Contains(refused.Message, "It has: web.") {
		t.Errorf("%v", err)
	}
}

func TestWhoMayUseAConsole(t *testing.T) {
	w := deployed(t)
	var refused *client.Error
	if _, err := w.client("").Attach(t.Context(), run("true"), client.Console{}); !errors.As(err, &refused) || refused.Exit() != api.ExitAuth {
		t.Errorf("nobody: %v", err)
	}
	if _, err := w.client("nonsense").Attach(t.Context(), run("true"), client.Console{}); !errors.As(err, &refused) || refused.Exit() != api.ExitAuth {
		t.Errorf("a bad token: %v", err)
	}
	for args, want := range map[string]string{
		"app run --app blgo -- true": "blgo", "app run --app blog": "Usage: ", "user list": "Admin privileges", "nothing": "'nothing' not found",
		"app list": "not run at a console", "app run --app blog -- no-such-program": "no-such-program", "app run -- true": "Which app?",
	} {
		if _, _, _, err := w.attach(nil, nil, strings.Fields(args)...); !errors.As(err, &refused) || !strings.Contains(refused.Message, want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	// A page in a browser cannot act for its user.
	for name, header := range map[string]http.Header{
		"a cookie":       {"Cookie": {"hop3_auth=" + w.user}},
		"another origin": {"Authorization": {"Bearer " + w.user}, "Origin": {"https://evil.example"}},
	} {
		conn, resp, err := websocket.Dial(t.Context(), w.server.URL+console.Path, &websocket.DialOptions{HTTPHeader: header})
		if err == nil {
			conn.CloseNow()
			t.Errorf("let in with %s", name)
		} else if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pidOf returns the process id that a command has written, once it has.
func pidOf(t *testing.T, file string) int {
	t.Helper()
	var pid int
	eventually(t, "the command runs", func() bool {
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	})
	return pid
}

func TestTheCommandEndsWithItsClient(t *testing.T) {
	w := deployed(t)
	for _, tty := range []*client.Terminal{nil, {Type: "vt100", Rows: 24, Columns: 80}} {
		file := filepath.Join(t.TempDir(), "pid")
		ctx, leave := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := w.client(w.user).Attach(ctx, run("sh", "-c", "trap '' HUP TERM INT; echo $$ > "+file+".new; mv "+file+".new "+file+"; while :; do sleep 0.1; done"),
				client.Console{Stdin: neverEnding{ctx}, Stdout: io.Discard, Stderr: io.Discard, Terminal: tty})
			ended <- err
		}()
		pid := pidOf(t, file)
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		eventually(t, "the process is gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
	}
}

// neverEnding has nothing to read until its context ends.
type neverEnding struct{ ctx context.Context }

func (n neverEnding) Read([]byte) (int, error) {
	<-n.ctx.Done()
	return 0, io.EOF
}

func TestTheCommandEndsWithTheServer(t *testing.T) {
	w := deployed(t)
	file := filepath.Join(t.TempDir(), "pid")
	ended := make(chan error, 1)
	go func() {
		_, err := w.client(w.user).Attach(t.Context(), run("sh", "-c", "echo $$ > "+file+".new; mv "+file+".new "+file+"; exec sleep 1000"),
			client.Console{Stdin: neverEnding{t.Context()}, Stdout: io.Discard, Stderr: io.Discard})
		ended <- err
	}()
	pid := pidOf(t, file)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, w.platform.Shutdown(ctx))
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the process is still there: %v", err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("%v", err)
	}
}

// A reader that pauses keeps the command waiting, and nothing else: neither
// end keeps what it has not taken, and in the end all of it is there.
func TestAReaderThatPauses(t *testing.T) {
	w := deployed(t)
	const size = 200 << 20
	slow := &paused{go_: make(chan struct{}), first: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := w.client(w.user).Attach(t.Context(), run("head", "-c", strconv.Itoa(size), "/dev/zero"), client.Console{Stdout: slow, Stderr: io.Discard})
		done <- err
	}()
	<-slow.first
	before := heap()
	for range 20 { // enough for 200 MB to come, if anything took them
		time.Sleep(10 * time.Millisecond)
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("%d bytes more are held", grown)
	}
	close(slow.go_)
	if err := <-done; err != nil || slow.size != size {
		t.Errorf("%d bytes of %d came, %v", slow.size, size, err)
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

type paused struct {
	once  sync.Once
	first chan struct{}
	go_   chan struct{}
	size  int
}

func (p *paused) Write(b []byte) (int, error) {
	p.once.Do(func() { close(p.first) })
	<-p.go_
	p.size += len(b)
	return len(b), nil
}

// A client that sends what it may not is cut off.
func TestHostileConsoles(t *testing.T) {
	w := deployed(t)
	dial := func() *websocket.Conn {
		t.Helper()
		conn, _, err := websocket.Dial(t.Context(), w.server.URL+console.Path, &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {"Bearer " + w.user}}, Subprotocols: []string{console.Protocol},
		})
		must(t, err)
		t.Cleanup(func() { conn.CloseNow() })
		return conn
	}
	cut := func(name string, conn *websocket.Conn) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				if ctx.Err() != nil {
					t.Errorf("%s: not cut off", name)
				}
				return
			}
		}
	}
	for name, first := range map[string]string{"no JSON": "{", "large": `{"args":["` + strings.Repeat("x", 2<<20) + `"]}`} {
		conn := dial()
		_ = conn.Write(t.Context(), websocket.MessageText, []byte(first)) // it may be cut off before it has sent all
		cut(name, conn)
	}
	for name, message := range map[string][]byte{
		"an empty message": {}, "no such channel": {99}, "the server's channel": {console.Exit, '{', '}'}, "half a size": {console.Resize, 1},
		"a large message": make([]byte, 100<<10),
	} {
		conn := dial()
		must(t, console.SendRequest(t.Context(), conn, api.ConsoleRequest{Args: run("sleep", "1000"), TTY: true, Term: "x\x1b[0m\n", Rows: 65535}))
		_ = conn.Write(t.Context(), websocket.MessageBinary, message)
		cut(name, conn)
	}
	conn := dial() // more input than the window has
	must(t, console.SendRequest(t.Context(), conn, api.ConsoleRequest{Args: run("sleep", "1000")}))
	for range console.Window/(32<<10) + 10 {
		if conn.Write(t.Context(), websocket.MessageBinary, append([]byte{console.Stdin}, make([]byte, 32<<10)...)) != nil {
			break
		}
	}
	cut("more than the window", conn)
}

// transcript collects output for a test to wait for.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *transcript) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Reset()
}

func (o *transcript) wait(t *testing.T, words string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q in the output", words), func() bool { return strings.Contains(o.String(), words) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}
