package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world is a Log over a directory.
type world struct {
	*Log
	t   *testing.T
	dir string

	mu   sync.Mutex
	said bytes.Buffer // by the server's log
}

func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(b)
}

func (w *world) words() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

func newWorld(t *testing.T, dir string, most int64) *world {
	w := &world{t: t, dir: dir}
	w.Log = Open(Options{Dir: w.logs, Max: most, Logger: slog.New(slog.NewTextHandler(w, nil))})
	t.Cleanup(w.Close)
	return w
}

func (w *world) logs(app string) string { return filepath.Join(w.dir, app, "log") }

func (w *world) make(app string) {
	w.t.Helper()
	if err := os.MkdirAll(w.logs(app), 0o750); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(app, suffix string) string {
	b, err := os.ReadFile(filepath.Join(w.logs(app), FileName+suffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("waited in vain until " + what)
		}
	}
}

func numbered(n int) *Entry {
	e := entry()
	e.URI = fmt.Sprintf("/%d", n)
	return e
}

func TestLinesOfManyApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir(), 1<<20)
	const apps, each = mostOpen + 20, 30
	for app := range apps {
		w.make(fmt.Sprint("app", app))
	}
	for n := range each {
		for app := range apps {
			w.Add(fmt.Sprint("app", app), Combined, numbered(n))
		}
	}
	w.Close() // writes what is left
	for app := range apps {
		text := w.read(fmt.Sprint("app", app), "")
		if got := strings.Count(text, "\n"); got != each {
			t.Fatalf("app%d has %d lines", app, got)
		}
		for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
			if !strings.Contains(line, fmt.Sprintf("GET /%d ", n)) {
				t.Fatalf("line %d of app%d is %s", n, app, line)
			}
		}
	}
	if w.Dropped() != 0 {
		t.Errorf("%d lines were dropped", w.Dropped())
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir(), 4000)
	w.make("blog")
	for n := range 200 {
		w.Add("blog", Combined, numbered(n))
		if n%10 == 9 {
			w.eventually("it is written", func() bool { return strings.Contains(w.read("blog", ""), fmt.Sprintf("GET /%d ", n)) })
		}
	}
	total := ""
	for _, suffix := range []string{".2", ".1", ""} {
		text := w.read("blog", suffix)
		if len(text) > 4000 || len(text) < 500 {
			t.Errorf("the log%s has %d bytes", suffix, len(text))
		}
		total += text
	}
	lines := strings.Split(strings.TrimSpace(total), "\n")
	for i, line := range lines { // nothing between is lost
		if !strings.Contains(line, fmt.Sprintf("GET /%d ", 200-len(lines)+i)) {
			t.Fatalf("line %d of %d is %s", i, len(lines), line)
		}
	}
	if entries, _ := os.ReadDir(w.logs("blog")); len(entries) > 6 { // with their times
		t.Errorf("%v", entries)
	}
}

// The log of an app that was destroyed does not come back, and that of its
// successor is its own.
func TestADestroyedApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir(), 1<<20)
	w.make("blog")
	w.Add("blog", JSON, numbered(1))
	w.eventually("it is written", func() bool { return w.read("blog", "") != "" })
	if err := os.RemoveAll(filepath.Join(w.dir, "blog")); err != nil {
		t.Fatal(err)
	}
	w.Add("blog", JSON, numbered(2))
	w.make("shop")
	for n := range 2 { // the second one is written after what came with the first
		w.Add("shop", JSON, numbered(n))
		w.eventually("it is written", func() bool { return strings.Count(w.read("shop", ""), "\n") == n+1 })
	}
	if _, err := os.Stat(filepath.Join(w.dir, "blog")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is back: %v", err)
	}
	w.make("blog")
	w.Add("blog", JSON, numbered(3))
	w.eventually("it is written", func() bool { return w.read("blog", "") != "" })
	if text := w.read("blog", ""); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"/3"`) {
		t.Errorf("%s", text)
	}
	if w.words() != "" || w.Dropped() != 0 {
		t.Errorf("the server's log says %s", w.words())
	}
}

func TestAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=755,size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, dir, 10<<20)
	w.make("blog")
	w.Add("blog", Combined, numbered(0))
	w.eventually("it is written", func() bool { return w.read("blog", "") != "" })
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 2<<20)); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	n := 0
	for round := uint64(1); round <= 3; round++ { // more than what is left of a page
		for range 100 {
			n++
			w.Add("blog", Combined, numbered(n))
		}
		w.eventually("lines are dropped", func() bool { return w.Dropped() == 100*round })
	}
	if got := strings.Count(w.words(), "not written"); got != 1 {
		t.Errorf("it is said %d times: %s", got, w.words())
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	w.Add("blog", Combined, numbered(-1))
	w.eventually("it is written again", func() bool { return strings.Contains(w.read("blog", ""), "GET /-1 ") })
	w.eventually("that is said", func() bool { return strings.Contains(w.words(), "dropped=300") })
	for line := range strings.Lines(w.read("blog", "")) {
		if !strings.HasPrefix(line, "192.0.2.7 - - [") || !strings.HasSuffix(line, "\"curl/8\"\n") {
			t.Errorf("half a line is left: %q", line)
		}
	}
}

// A disk that takes nothing for a while keeps nobody waiting.
func TestASlowDisk(t *testing.T) {
	t.Parallel()
	w := &world{t: t, dir: t.TempDir()}
	w.make("blog")
	stuck := make(chan struct{})
	w.Log = Open(Options{Max: 1 << 30, Logger: slog.New(slog.NewTextHandler(w, nil)), Dir: func(app string) string {
		<-stuck
		return w.logs(app)
	}})
	long := numbered(1)
	long.URI = "/" + strings.Repeat("x", 4000)
	added := uint64(0)
	for w.Dropped() == 0 {
		if added++; added > 50_000 {
			t.Fatal("nothing is bounded")
		}
		w.Add("blog", JSON, long)
	}
	w.Log.mu.Lock()
	if w.size > mostWaiting {
		t.Errorf("%d bytes wait", w.size)
	}
	w.Log.mu.Unlock()
	close(stuck)
	w.Close()
	if got := uint64(strings.Count(w.read("blog", ""), "\n")); got+w.Dropped() != added {
		t.Errorf("%d lines and %d dropped, of %d", got, w.Dropped(), added)
	}
	if !strings.Contains(w.words(), "dropped=") {
		t.Errorf("the server's log does not say so: %s", w.words())
	}
}

func BenchmarkAdd(b *testing.B) {
	dir := b.TempDir()
	l := Open(Options{Dir: func(string) string { return dir }, Max: 10 << 20, Logger: slog.New(slog.DiscardHandler)})
	defer l.Close()
	e := entry()
	b.ReportAllocs()
	for b.Loop() {
		l.Add("blog", JSON, e)
	}
	b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
}
