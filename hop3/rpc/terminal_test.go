package rpc_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/console"
)

// A person at a terminal, with the client itself.
func TestThePersonsTerminal(t *testing.T) {
	w := deployed(t)
	screen, tty, err := pty.Open()
	must(t, err)
	defer screen.Close()
	defer tty.Close()
	must(t, pty.Setsize(screen, &pty.Winsize{Rows: 30, Cols: 100}))
	before, err := term.GetState(int(tty.Fd()))
	must(t, err)
	var out transcript
	go func() { _, _ = io.Copy(&out, screen) }() // ends with the terminal

	t.Setenv("HOP3_CONFIG_DIR", filepath.Join(t.TempDir(), "config"))
	t.Setenv("HOP3_API_URL", w.server.URL)
	t.Setenv("HOP3_API_TOKEN", w.user)
	t.Setenv("TERM", "screen")
	code := make(chan int, 1)
	go func() {
		code <- cli.Main([]string{"app", "shell", "--app", "blog"}, cli.Stdio{In: tty, Out: tty, Err: tty}, nil)
	}()
	typed := func(text string) {
		t.Helper()
		_, err := screen.WriteString(text)
		must(t, err)
	}
	typed("stty size; echo \"[$TERM]\"; cat greeting; echo\r")
	out.wait(t, "30 100")
	out.wait(t, "[screen]")
	out.wait(t, "hello")
	must(t, pty.Setsize(screen, &pty.Winsize{Rows: 44, Cols: 55}))
	must(t, syscall.Kill(os.Getpid(), syscall.SIGWINCH)) // the terminal is not this test's own
	eventually(t, "the shell has the new size", func() bool {
		typed("stty size\r")
		return strings.Contains(out.String(), "44 55")
	})
	typed("sleep 1000\r")
	out.wait(t, "sleep 1000")
	eventually(t, "Ctrl-C ends the program, not the client", func() bool {
		typed("\x03\recho and $((40+2))\r")
		return strings.Contains(out.String(), "and 42")
	})
	typed("exit 12\r")
	if got := <-code; got != 12 {
		t.Errorf("the exit status is %d\n%s", got, out.String())
	}
	after, err := term.GetState(int(tty.Fd()))
	must(t, err)
	if *before != *after {
		t.Error("the terminal is not what it was")
	}
}

// hop3In runs the client with an input.
func (w *world) hop3In(stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	w.t.Setenv("HOP3_CONFIG_DIR", filepath.Join(w.t.TempDir(), "config"))
	w.t.Setenv("HOP3_API_URL", w.server.URL)
	w.t.Setenv("HOP3_API_TOKEN", w.user)
	var out, errs bytes.Buffer
	code = cli.Main(args, cli.Stdio{In: stdin, Out: &out, Err: &errs}, nil)
	return code, out.String(), errs.String()
}

func TestTheClientRunsCommands(t *testing.T) {
	w := deployed(t)
	for _, c := range []struct {
		stdin, args, out, errs string
		code                   int
	}{
		{"dump\x00\xff\n", "app run --app blog -- cat", "dump\x00\xff\n", "", 0},
		{"dump", "run -i --app blog cat", "dump", "", 0},
		{"", "run --app blog --input words cat", "words\n", "", 0},
		{"", "run -t --app blog stty size", "24 80\r\n", "", 0},
		{"", "run --app blog -T -- sh -c tty", "not a tty\n", "", 1},
		{"exit 3\n", "shell --app blog", "", "", 3},
		{"", "run --app blgo true", "", "ERROR: App 'blgo' not found", 3},
		{"", "run --app blog", "", "Usage: ", 2},
		{"", "run --app blog no-such-program", "", "no-such-program", 3},
		{"", "shell --app blog --json", "{\n", "", 2},
	} {
		code, out, errs := w.hop3In(strings.NewReader(c.stdin), strings.Fields(c.args)...)
		if code != c.code || out != c.out && (c.out == "" || !strings.HasPrefix(out, c.out)) || !strings.Contains(errs, c.errs) {
			t.Errorf("hop3 %s: exit %d, %q, %q", c.args, code, out, errs)
		}
	}
}

// A server that has no console is asked as ever.
func TestAnOlderServer(t *testing.T) {
	w := deployed(t)
	w.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == console.Path {
			http.NotFound(rw, r)
			return
		}
		w.handler.ServeHTTP(rw, r)
	})
	code, out, errs := w.hop3In(strings.NewReader(""), "run", "--app", "blog", "sh", "-c", "echo out; echo err >&2; exit 4")
	if code != 4 || !strings.Contains(out, "out") || !strings.Contains(out, "--- stderr ---\nerr") || !strings.Contains(errs, "exit code 4") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if code, out, errs = w.hop3In(strings.NewReader(""), "shell", "--app", "blog"); code == 0 || !strings.Contains(errs, "console") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}
