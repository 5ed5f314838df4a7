package rpc_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A person deploys, looks, changes, breaks, rolls back and destroys an app with
// the command line.
func TestTheLifeOfAnApp(t *testing.T) {
	w := newWorld(t)
	dir := w.project("hello")
	step := func(wantCode int, wantText string, args ...string) string {
		t.Helper()
		code, out, errs := w.hop3(dir, args...)
		if code != wantCode || !strings.Contains(out+errs, wantText) {
			t.Fatalf("hop3 %s: exit %d, want %d with %q in\n%s%s", strings.Join(args, " "), code, wantCode, wantText, out, errs)
		}
		return out
	}
	step(0, "App deployed successfully", "deploy")
	step(0, "blog  RUNNING", "apps")
	step(0, "http://blog.localhost", "app", "status")
	step(0, "is responding", "app", "ping", "/some/page")
	step(0, "serving hello", "logs", "-n", "50")
	step(0, "web           1", "ps")
	step(0, "scaled blog", "ps", "scale", "web=2")
	step(0, "web 2", "status")
	step(0, "• Set GREETING=hi", "env", "set", "GREETING=hi")
	step(0, "hi", "run", "sh", "-c", "echo $GREETING")
	step(3, "oh no", "run", "sh", "-c", "echo oh no >&2; exit 3")
	step(3, "Command failed with exit code 3", "run", "--json", "sh", "-c", "exit 3")
	step(0, "hi", "env", "get", "GREETING")
	step(2, "", "env", "set", "not-a-key=1", "nothing")

	must(t, os.WriteFile(filepath.Join(dir, "broken"), nil, 0o644))
	step(8, "the build is broken", "deploy")
	step(8, "the build is broken", "deploy", "--no-stream")
	step(8, `"t": "error"`, "deploy", "--json")
	must(t, os.Remove(filepath.Join(dir, "broken")))
	step(0, "RUNNING", "status")

	step(0, "is rolled back", "rollback", "v1")
	step(0, "rollback", "releases")
	step(0, "v1", "releases", "show", "1")
	step(0, "is stopped", "app", "stop")
	step(0, "already stopped", "app", "stop")
	step(0, "is running", "app", "start")
	step(10, "--confirm blog", "app", "destroy")
	step(10, "Nothing was done", "app", "destroy", "--confirm", "other")
	step(0, "has been destroyed", "app", "destroy", "--confirm", "blog")
	step(3, "blog", "status")
}

func TestFollowingLogs(t *testing.T) {
	w := newWorld(t)
	if code, out, errs := w.hop3(w.project("hello"), "deploy"); code != 0 {
		t.Fatal(out, errs)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/api/apps/blog/logs/stream", nil)
	must(t, err)
	req.AddCookie(&http.Cookie{Name: "hop3_auth", Value: w.user})
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	waitFor := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("%q did not come: %v", text, lines.Err())
	}
	waitFor("serving hello")
	if code, out, errs := w.hop3(t.TempDir(), "app", "ping", "/news", "--app", "blog"); code != 0 {
		t.Fatal(out, errs)
	}
	waitFor("asked for /news")
}

// The client follows, chooses, and learns that the app is gone.
func TestTheClientShowsLogs(t *testing.T) {
	w := deployed(t)
	dir := t.TempDir()
	for _, c := range []struct {
		args, want, not string
		code            int
	}{
		{"logs --app blog", " web.1 | serving hello", "", 0},
		{"app logs --app blog --since 1h --type web.1 --grep SERVING", "serving hello", "", 0},
		{"logs --app blog --since-deploy", "serving hello", "", 0},
		{"logs --app blog --grep= --since= --type=", "serving hello", "", 0},
		{"logs --app blog --since 2999-01-01", "No log entries found.", "serving", 0},
		{"logs --app blog --grep no-such-text", "No log entries found.", "serving", 0},
		{"logs --app blog -p worker", "It has: web.", "", 2},
		{"logs --app blog --since tomorrow", "--since wants a time", "", 2},
		{"logs -f --app blog -n 0", "--lines wants", "", 2},
		{"logs -f --app blgo", "blgo", "", 3},
	} {
		code, out, errs := w.hop3(dir, strings.Fields(c.args)...)
		if text := out + errs; code != c.code || !strings.Contains(text, c.want) || c.not != "" && strings.Contains(text, c.not) {
			t.Errorf("hop3 %s: exit %d\n%s", c.args, code, text)
		}
	}
	ended := make(chan error, 1)
	var out transcript
	go func() {
		ended <- w.client(w.user).FollowLogs(t.Context(), "blog", nil, func(line string) { fmt.Fprintln(&out, line) })
	}()
	out.wait(t, "serving hello")
	if code, text, errs := w.hop3(dir, "app", "destroy", "--app", "blog", "-y"); code != 0 {
		t.Fatal(text, errs)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "destroyed") {
		t.Errorf("%v", err)
	}
}

func TestTheProgressOfADeployIsASCII(t *testing.T) {
	w := newWorld(t)
	code, out, errs := w.hop3(w.project("hello"), "deploy")
	if code != 0 || !strings.Contains(out, "naïvement") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
}
