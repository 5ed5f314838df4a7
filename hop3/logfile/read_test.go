package logfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestLinesOfManyInstancesInTheOrderOfTime(t *testing.T) {
	w := newWorld(t, 1<<20)
	one, two, other := w.instance("web.1"), w.instance("web.2"), w.instance("worker.1")
	before := time.Now().Add(-time.Second)
	w.print(one, "a\n")
	w.print(two, "b\nc\n")
	w.print(one, "d\n")
	w.print(other, "e\n")
	w.print(two, "f")

	w.wantLines(hop3.LogQuery{}, "web.1: a", "web.2: b", "web.2: c", "web.1: d", "worker.1: e", "web.2: f")
	w.wantLines(hop3.LogQuery{Lines: 2}, "worker.1: e", "web.2: f")
	w.wantLines(hop3.LogQuery{Type: "web"}, "web.1: a", "web.2: b", "web.2: c", "web.1: d", "web.2: f")
	w.wantLines(hop3.LogQuery{Type: "web", Ordinal: 1}, "web.1: a", "web.1: d")
	w.wantLines(hop3.LogQuery{Type: "we"})
	last := before
	for _, e := range w.read(hop3.LogQuery{}) {
		if e.Time.Before(last) || e.Time.After(time.Now()) {
			t.Errorf("%q is of %v, after one of %v", e.Text, e.Time, last)
		}
		last = e.Time
	}
}

func TestGrepIsAppliedBeforeTheLinesAreCounted(t *testing.T) {
	w := newWorld(t, 1<<20)
	f := w.instance("web.1")
	for i := range 100 {
		fmt.Fprintf(f, "GET /%d\n", i)
		if i%10 == 0 {
			fmt.Fprintf(f, "An Élan error in %d\n", i)
		}
	}
	w.noted(f)
	w.wantLines(hop3.LogQuery{Lines: 2, Grep: "ÉLAN ERROR"}, "web.1: An Élan error in 80", "web.1: An Élan error in 90")
	w.wantLines(hop3.LogQuery{Grep: "nothing like that"})
}

func TestSince(t *testing.T) {
	w := newWorld(t, 1<<20)
	f := w.instance("web.1")
	w.print(f, "old\nolder\n")
	border := w.read(hop3.LogQuery{Lines: 1})[0].Time.Add(time.Microsecond)
	eventually(t, "the clock of files has moved on", func() bool {
		name := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		return err == nil && info.ModTime().After(border)
	})
	w.print(f, "new\n")
	w.wantLines(hop3.LogQuery{Since: border}, "web.1: new")
	w.wantLines(hop3.LogQuery{Since: time.Now().Add(time.Hour)})
	w.wantLines(hop3.LogQuery{Since: border.Add(-time.Hour)}, "web.1: old", "web.1: older", "web.1: new")
}

func TestRotatedLogsAreReadToo(t *testing.T) {
	w := newWorld(t, 4000)
	f := w.instance("web.1")
	const n = 1000
	for i := range n {
		fmt.Fprintf(f, "line %d\n", i)
		if i%50 == 0 {
			w.settled(f)
		}
	}
	w.settled(f)
	got := lines(w.read(hop3.LogQuery{}))
	if len(got) < 800 || got[len(got)-1] != "web.1: line 999" {
		t.Fatalf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
	for i, line := range got[1:] { // the first may have lost its beginning
		if want := fmt.Sprintf("web.1: line %d", n-len(got)+i+1); line != want {
			t.Fatalf("line %d is %q, want %q", i+1, line, want)
		}
	}
	var last time.Time
	for _, e := range w.read(hop3.LogQuery{}) {
		if e.Time.IsZero() || e.Time.Before(last) {
			t.Fatalf("%q is of %v, after one of %v", e.Text, e.Time, last)
		}
		last = e.Time
	}
}

// settled waits until a log is as short as the Rotator wants it, and its times
// are noted.
func (w *world) settled(f *os.File) {
	w.Helper()
	eventually(w.T, "the log is short", func() bool {
		info, err := f.Stat()
		return err == nil && info.Size() <= w.rotator.max
	})
	w.noted(f)
}

func TestWhatNobodyNotedTheTimeOf(t *testing.T) {
	w := newWorld(t, 1<<20)
	old := w.path("web.1")
	if err := os.WriteFile(old, []byte("from before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.read(hop3.LogQuery{}); len(got) != 1 || !got[0].Time.IsZero() {
		t.Errorf("%+v", got)
	}
	f := w.instance("web.1")
	w.print(f, "now\n")
	got := w.read(hop3.LogQuery{})
	if len(got) != 2 || !got[0].Time.IsZero() || got[1].Time.IsZero() {
		t.Errorf("%+v", got)
	}
	for _, nonsense := range []string{"", "hop3log1", strings.Repeat("\xff", 100), "hop3log1" + strings.Repeat("\x01", 5000)} {
		if err := os.WriteFile(old+timesSuffix, []byte(nonsense), 0o600); err != nil {
			t.Fatal(err)
		}
		w.wantLines(hop3.LogQuery{}, "web.1: from before", "web.1: now")
	}
	if err := os.Remove(old + timesSuffix); err != nil {
		t.Fatal(err)
	}
	w.wantLines(hop3.LogQuery{Since: time.Now().Add(-time.Hour)}, "web.1: from before", "web.1: now")
}

func TestHostileLogs(t *testing.T) {
	w := newWorld(t, 64<<20)
	f := w.instance("web.1")
	w.print(f, "first\n"+strings.Repeat("x", 5<<20)+"\n\n\r\nnext\r\nno\x00end")
	for name, text := range map[string]string{"web.1.log.zzz": "a\n", "web.log": "b\n", "web.x.log": "c\n", ".web.1.log": "d\n"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", w.path("web.2")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(w.path("web.3"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.path("web.4"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.wantLines(hop3.LogQuery{}, "web.1: first", "web.1: "+strings.Repeat("x", maxLine)+cutMark, "web.1: ", "web.1: ", "web.1: next", "web.1: no\x00end")
	// What an app puts where its rotated log should be.
	if err := os.Symlink("/etc/passwd", w.path("web.1")+".1"); err != nil {
		t.Fatal(err)
	}
	err := Read(t.Context(), w.dir, hop3.LogQuery{Lines: 100}, func(e hop3.LogEntry) error {
		if strings.Contains(e.Text, "root:") {
			t.Errorf("read %q", e.Text)
		}
		return nil
	})
	if err == nil {
		t.Error("a link was read without an error")
	}
}

func TestAQueryHoldsLittleInMemory(t *testing.T) {
	w := newWorld(t, 1<<30)
	f := w.instance("web.1")
	block := bytes.Repeat([]byte(strings.Repeat("y", 15<<10)+"\n"), 64)
	for range 40 {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	w.noted(f)
	got := w.read(hop3.LogQuery{Lines: 10_000})
	size := 0
	for _, e := range got {
		size += len(e.Text)
	}
	if size > maxBytes+1000 || !strings.Contains(got[0].Text, "too much") {
		t.Errorf("%d bytes; the first line is %.50q", size, got[0].Text)
	}
}

func TestTheLastLinesAreFoundWhereverChunksEnd(t *testing.T) {
	w := newWorld(t, 1<<30)
	f := w.instance("web.1")
	text := numbered(0, 20_000)
	w.print(f, text)
	for _, n := range []int{1, 2, 3000, 19_999, 20_000} {
		got := w.read(hop3.LogQuery{Lines: n})
		if len(got) != n || got[0].Text != fmt.Sprintf("line %d", 20_000-n) || got[n-1].Text != "line 19999" {
			t.Errorf("%d: %d lines from %q", n, len(got), got[0].Text)
		}
	}
	for _, size := range []int{chunk - 2, chunk - 1, chunk, chunk + 1, 2 * chunk} {
		if err := os.WriteFile(w.path("edge.1"), []byte("a\n"+strings.Repeat("z", size)+"\nb\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.wantLines(hop3.LogQuery{Type: "edge"}, "edge.1: a", "edge.1: "+strings.Repeat("z", maxLine)+cutMark, "edge.1: b")
	}
}
