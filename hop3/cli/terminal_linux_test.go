package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3/api"
)

// at runs a command line at a terminal, of a server that answers as answer
// says.
func (w *watcher) at(dir string, env map[string]string, answer func() []api.Item, args ...string) int {
	w.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(rw).Encode(map[string]any{"jsonrpc": "2.0", "id": 1, "result": answer()}); err != nil {
			w.t.Error(err)
		}
	}))
	defer server.Close()
	all := map[string]string{"HOP3_API_URL": server.URL, "HOP3_API_TOKEN": "t", "HOP3_CONFIG_DIR": w.t.TempDir(), "PAGER": "cat"}
	for k, v := range env {
		all[k] = v
	}
	p := &program{Stdio: Stdio{In: w.tty, Out: w.tty, Err: w.tty}, getenv: func(k string) string { return all[k] }, dir: dir}
	return p.main(w.t.Context(), args)
}

func long() []api.Item { return []api.Item{api.Text("%s", strings.Repeat("a line\n", 50)+"the last")} }

// What does not fit on the terminal is shown by the pager.
func TestPager(t *testing.T) {
	dir := t.TempDir()
	pager := filepath.Join(dir, "pager")
	if err := os.WriteFile(pager, []byte("#!/bin/sh\necho \"<$1 $LESS>\"; exec cat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	short := func() []api.Item { return []api.Item{api.Text("the last")} }
	for _, c := range []struct {
		what   string
		env    map[string]string
		answer func() []api.Item
		args   []string
		paged  bool
	}{
		{"long", nil, long, []string{"apps"}, true},
		{"short", nil, short, []string{"apps"}, false},
		{"wrapped", nil, func() []api.Item { return []api.Item{api.Text("%sthe last", strings.Repeat("x", 80*24))} }, []string{"apps"}, true},
		{"--no-pager", nil, long, []string{"apps", "--no-pager"}, false},
		{"--json", nil, long, []string{"apps", "--json"}, false},
		{"cat", map[string]string{"HOP3_PAGER": "cat"}, long, []string{"apps"}, false},
		{"a terminal that knows nothing", map[string]string{"TERM": "dumb"}, long, []string{"apps"}, false},
		{"no such pager", map[string]string{"PAGER": filepath.Join(dir, "nosuch")}, long, []string{"apps"}, false},
		{"left early", map[string]string{"PAGER": "true"}, func() []api.Item {
			return []api.Item{api.Text("%s", strings.Repeat("x\n", 1<<20)), api.Summary("the last")}
		}, []string{"apps"}, false},
	} {
		w := watch(t, 24, 80)
		env := map[string]string{"PAGER": pager + " -x"}
		for k, v := range c.env {
			env[k] = v
		}
		if code := w.at(dir, env, c.answer, c.args...); code != 0 {
			t.Errorf("%s: exit %d", c.what, code)
		}
		w.sees("the last")
		if got := strings.Contains(w.text(), "<-x FRX>"); got != c.paged {
			t.Errorf("%s: paged %v\n%.300s", c.what, got, w.text())
		}
	}
}

// A server that takes long is waited for visibly, and not for ever so.
func TestWaiting(t *testing.T) {
	w := watch(t, 24, 80)
	code := w.at(t.TempDir(), nil, func() []api.Item {
		w.sees("Waiting for the server… 0s")
		return []api.Item{api.Text("done")}
	}, "apps")
	w.sees("\r\x1b[Kdone")
	if code != 0 {
		t.Errorf("exit %d", code)
	}
}

// `hop3 init` asks at a terminal what it cannot know.
func TestInitAsks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "My Shop")
	write(t, filepath.Join(dir, "requirements.txt"), "flask\n")
	w := watch(t, 24, 80)
	done := make(chan int)
	go func() { done <- w.at(dir, nil, long, "init") }()
	for _, step := range [][2]string{{"Name of the app [my-shop]: ", "shop\n"}, {"Command of its web process: ", "gunicorn \"app:app\"\n"}} {
		w.sees(step[0])
		if _, err := io.WriteString(w.keyboard, step[1]); err != nil {
			t.Fatal(err)
		}
	}
	if code := <-done; code != 0 {
		t.Errorf("exit %d: %s", code, w.text())
	}
	text, err := os.ReadFile(filepath.Join(dir, "hop3.toml"))
	if err != nil || !strings.Contains(string(text), `id = "shop"`) || !strings.Contains(string(text), `start = "gunicorn \"app:app\""`) {
		t.Errorf("%v\n%s", err, text)
	}
	if code := w.at(dir, nil, long, "init"); code != api.ExitConflict {
		t.Errorf("the second time: exit %d", code)
	}
}

// A table that is wider than the terminal is not broken into pieces.
func TestNarrowTerminal(t *testing.T) {
	rows := [][]any{{"blog", "RUNNING", 3}, {"shop", "STOPPED", nil}}
	headers := []string{"Name", "Status", "Instances"}
	for width, want := range map[int]string{
		0:  "│ blog │ RUNNING │ 3         │",
		30: "│ blog │ RUNNING │ 3         │",
		29: "\nblog  RUNNING  3\n",
		20: "Name       blog\nStatus     RUNNING\nInstances  3\n\nName       shop\nStatus     STOPPED\n",
	} {
		if got := tableWithin(headers, rows, width); !strings.Contains(got, want) {
			t.Errorf("%d columns:\n%s", width, got)
		}
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left on device") }

// What could not be written is no success.
func TestAFullDisk(t *testing.T) {
	p := newProgram(t, map[string]string{})
	errs := new(bytes.Buffer)
	p.Out, p.Err = full{}, errs
	if code := p.main(context.Background(), []string{"version"}); code != api.ExitGeneral || !strings.Contains(errs.String(), "no space left") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// An address like ssh://host is reached by ssh. The one of this test is a
// program that connects to what it is told, as no SSH server is at hand that
// lets anybody forward.
func TestAServerBySSH(t *testing.T) {
	dir := t.TempDir()
	script := "#!/usr/bin/env python3\n" + `import os, socket, sys, threading
open(os.environ["NOTED"], "a").write(" ".join(sys.argv[1:]) + "\n")
host, port = sys.argv[sys.argv.index("-W") + 1].split(":")
s = socket.create_connection((host, int(port)))
def up():
    while data := os.read(0, 65536):
        s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := s.recv(65536):
    os.write(1, data)
`
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("NOTED", filepath.Join(dir, "noted"))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":1,"result":[{"t":"text","text":"for %s"}]}`, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]
	p := newProgram(t, map[string]string{"HOP3_API_URL": "ssh://ada@hop3.example.com:2022", "HOP3_API_TOKEN": "t1", "HOP3_SERVER_PORT": port, "HOP3_SSH_KEY": "/k"})
	out := new(bytes.Buffer)
	p.Out = out
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if code := p.main(ctx, []string{"apps"}); code != 0 || out.String() != "for Bearer t1\n" {
		t.Errorf("exit %d: %s%s", code, out, p.Err)
	}
	noted, err := os.ReadFile(filepath.Join(dir, "noted"))
	if err != nil || !strings.Contains(string(noted), "-W 127.0.0.1:"+port+" -p 2022 -l ada -i /k -- hop3.example.com") {
		t.Errorf("%v: ssh %s", err, noted)
	}
	p = newProgram(t, map[string]string{"HOP3_API_URL": "ssh://-oProxyCommand=x@h"})
	if code := p.main(ctx, []string{"apps"}); code != api.ExitUsage {
		t.Errorf("an option as a user: exit %d", code)
	}
}
