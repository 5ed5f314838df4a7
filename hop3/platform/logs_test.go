package platform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func (w *world) writeLog(instance, text string) {
	w.t.Helper()
	file := filepath.Join(w.logDir("blog"), instance+".log")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.writeLog("web.1", "\x1b[2Jhello\nbye\n")
	w.writeLog("old.1", "from another release\n")
	w.writeLog("build", "building\n")
	read := func(q hop3.LogQuery) (string, error) {
		var lines []string
		err := w.Logs(t.Context(), alice, "blog", q, func(l LogLine) error {
			lines = append(lines, l.String())
			return nil
		})
		return strings.Join(lines, "\n"), err
	}
	for want, q := range map[string]hop3.LogQuery{
		"web.1 | hello\nweb.1 | bye":   {Type: "web"},
		"web.1 | bye":                  {Type: "web", Ordinal: 1, Lines: 1},
		"old.1 | from another release": {Type: "old"},
		"building":                     {Build: true},
		"":                             {Type: "web", Ordinal: 2},
	} {
		if got, err := read(q); err != nil || got != want {
			t.Errorf("%+v: %q, %v; want %q", q, got, err, want)
		}
	}
	if _, err := read(hop3.LogQuery{Type: "worker"}); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "It has: web.") {
		t.Errorf("%v", err)
	}
	if _, err := read(hop3.LogQuery{Type: "../x"}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("%v", err)
	}
	line := LogLine{Instance: "web.2", Time: time.Date(2026, 11, 24, 11, 0, 0, 5e6, time.FixedZone("", 3600)), Text: "x"}
	if line.String() != "2026-11-24T10:00:00.005Z web.2 | x" {
		t.Error(line)
	}
}

// Who follows an app that is destroyed, or whose server ends, is not kept.
func TestFollowingEnds(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.writeLog("web.1", "hello\n")
	follow := func() (first chan string, ended chan error) {
		first, ended = make(chan string, 10), make(chan error, 1)
		go func() {
			ended <- w.Logs(t.Context(), alice, "blog", hop3.LogQuery{Follow: true}, func(l LogLine) error {
				first <- l.Text
				return nil
			})
		}()
		return first, ended
	}
	first, ended := follow()
	<-first
	if err := w.DestroyApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; hop3.CodeOf(err) != hop3.CodeNotFound || !strings.Contains(err.Error(), "was destroyed") {
		t.Errorf("%v", err)
	}
	w.deployed("two")
	w.writeLog("web.1", "hello\n")
	first, ended = follow()
	<-first
	w.Interrupt()
	if err := <-ended; err == nil {
		t.Error("it ended without an error")
	}
}
