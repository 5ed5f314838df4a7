package tests

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var updateScreens = flag.Bool("update-screens", false, "write the screens of testdata/tui anew")

// screenApp is an app whose screens are the same at every run.
var screenApp = map[string]string{
	"hop3.toml": "[run]\nstart = \"python3 app.py\"\n\n[env]\nCOLOUR = \"blue\"\n",
	"app.py": `import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass

print("hello \x1b]0;owned\x07\x1b[31mfrom\x1b[0m \x1b[2Jthe app: 日本語 e\u0301", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`,
}

// TestFullScreen drives `hop3 tui` in a terminal as a person would, against a
// real server, and compares what is seen with testdata/tui.
func TestFullScreen(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("tmux is not installed; tests/run installs it")
	}
	s := startServer(t)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "blog", screenApp)
	if _, err := s.run(s.dir, "hop3", "env", "set", "--app", "blog", "SECRET_KEY=hunter2hunter2"); err != nil {
		t.Fatal(err)
	}
	term := s.startTerminal(t, "80", "24", `stty -g >before; hop3 tui; echo "left with $?"; stty -g >after; exec cat`)

	term.shows("dashboard-80x24")
	term.press("a")
	term.shows("apps-80x24")
	term.press("Enter")
	term.shows("overview-80x24")
	term.press("2")
	term.shows("processes-80x24")
	term.press("+")
	term.sees("Scaled blog: web=2.", "web           2")
	term.press("3")
	term.sees("scale", "retired")
	term.press("4")
	term.shows("env-80x24")
	term.press("t")
	term.sees("hunter2hunter2", "Secrets are shown")
	term.press("t")
	term.sees("hunt***")
	term.press("5")
	term.shows("domains-80x24")
	term.press("6")
	term.sees("following", "hello from the app: 日本語 e\u0301")
	term.press("7")
	term.sees("has no cron entries")
	term.press("v")
	term.sees("blog › Events", "following", "release.switched")
	term.press("Escape")
	term.seesNot("› Events") // with what follows at once it would be another key

	term.press("u") // no key of this tab
	term.press("D")
	term.shows("destroy-80x24")
	term.typeText("blo")
	term.press("Enter")
	term.sees("Nothing was done.")
	term.press("o")
	term.sees("Addons")
	term.press(":")
	term.typeText("env get --app bl")
	term.press("Tab")
	term.typeText("SECRET_KEY")
	term.press("Enter")
	term.sees("hunter2hunter2", "done in")

	term.resize("120", "40")
	term.press("a")
	term.shows("apps-120x40")
	term.press("Enter")
	term.sees("Overview")
	term.press("4")
	term.shows("env-120x40")
	term.resize("60", "15")
	term.sees("hunt***", "quit")
	term.resize("80", "24")

	// Away and back: what was seen stays, marked as old.
	if err := s.signal(syscall.SIGKILL); err == nil {
		t.Fatal("a server that is killed ends well")
	}
	term.press("R")
	term.sees("Disconnected", "connection refused", "stale", "COLOUR")
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	term.press("R")
	term.seesNot("Disconnected")

	term.press("q")
	term.sees("left with 0")
	before, errBefore := os.ReadFile(filepath.Join(s.dir, "before"))
	after, errAfter := os.ReadFile(filepath.Join(s.dir, "after"))
	if err := errors.Join(errBefore, errAfter); err != nil || string(before) != string(after) || len(before) == 0 {
		t.Errorf("the terminal was %q and is left as %q, %v", before, after, err)
	}
}

// TestFullScreenNeedsATerminal is one sentence, and wrong usage.
func TestFullScreenNeedsATerminal(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(filepath.Join(binaries, "hop3"), "tui").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "needs a terminal") {
		t.Errorf("%v\n%s", err, out)
	}
}

// terminal is a tmux of its own with one window.
type terminal struct {
	t      *testing.T
	s      *server
	socket string
}

// startTerminal runs a command line in a window.
func (s *server) startTerminal(t *testing.T, columns, lines, command string) *terminal {
	t.Helper()
	dir, err := os.MkdirTemp("", "hop3-tmux-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, s: s, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		_, _ = term.tmux("kill-server") // it may have ended with its window
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if _, err := term.tmux("new-session", "-d", "-x", columns, "-y", lines, "sh", "-c", command); err != nil {
		t.Fatal(err)
	}
	return term
}

func (term *terminal) tmux(args ...string) (string, error) {
	cmd := exec.Command("tmux", append([]string{"-S", term.socket, "-f", "/dev/null", "-u"}, args...)...)
	cmd.Dir, cmd.Env = term.s.dir, append(term.s.env, "TERM=xterm-256color", "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("tmux %s: %w\n%s", args[0], err, out)
	}
	return string(out), err
}

func (term *terminal) do(args ...string) string {
	term.t.Helper()
	out, err := term.tmux(args...)
	if err != nil {
		term.t.Fatal(err)
	}
	return out
}

func (term *terminal) press(key string)     { term.t.Helper(); term.do("send-keys", key) }
func (term *terminal) typeText(text string) { term.t.Helper(); term.do("send-keys", "-l", text) }
func (term *terminal) resize(columns, lines string) {
	term.t.Helper()
	term.do("resize-window", "-x", columns, "-y", lines)
}
func (term *terminal) screen() string { term.t.Helper(); return term.do("capture-pane", "-p") }

// until waits for a screen that is as it should be.
func (term *terminal) until(what string, right func(screen string) bool) {
	term.t.Helper()
	var seen string
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if seen = term.screen(); right(seen) {
			return
		}
		time.Sleep(30 * time.Millisecond) // between two looks
	}
	term.t.Fatalf("%s\nThe screen is:\n%s", what, seen)
}

func (term *terminal) sees(texts ...string) {
	term.t.Helper()
	for _, text := range texts {
		term.until(fmt.Sprintf("%q is not seen.", text), func(screen string) bool { return strings.Contains(screen, text) })
	}
}

func (term *terminal) seesNot(text string) {
	term.t.Helper()
	term.until(fmt.Sprintf("%q is still seen.", text), func(screen string) bool { return !strings.Contains(screen, text) })
}

// shows compares the screen with a file, without what differs at every run.
func (term *terminal) shows(name string) {
	term.t.Helper()
	file := filepath.Join("testdata", "tui", name+".txt")
	if *updateScreens {
		last := ""
		term.until(name+" does not settle.", func(screen string) bool { // the same for a while, and nothing loads
			settled := screen == last && !strings.Contains(screen, "loading…")
			last = screen
			time.Sleep(2 * time.Second)
			return settled
		})
		if err := os.WriteFile(file, []byte(settled(last)), 0o644); err != nil {
			term.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		term.t.Fatal(err)
	}
	term.until(fmt.Sprintf("The screen is not that of %s:\n%s\nbut it is:\n%s", file, want, settled(term.screen())), func(screen string) bool { return settled(screen) == string(want) })
}

// changing is what differs at every run, with what stands for it.
var changing = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\d\d-\d\d \d\d:\d\d`), "MM-DD hh:mm"},
	{regexp.MustCompile(`:\d{4,5}\b`), ":PORT"},
	{regexp.MustCompile(`\b(HTTP|HTTPS|SSH) \d+`), "$1 PORT"},
	{regexp.MustCompile(`\b[0-9a-f]{8}\b`), "COMMIT"},
	{regexp.MustCompile(`\b[\d.]+m?s\b`), "TIME"},
	{regexp.MustCompile(`go1\.\S+ \S+, \d+ CPUs`), "GO"},
	{regexp.MustCompile(` {2,}`), "  "},
	{regexp.MustCompile(`(?m) +$`), ""},
}

// settled is a screen without what differs at every run.
func settled(screen string) string {
	for _, c := range changing {
		screen = c.pattern.ReplaceAllString(screen, c.as)
	}
	return screen
}
