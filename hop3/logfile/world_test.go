package logfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// world is a log directory that a Rotator works on.
type world struct {
	*testing.T
	dir     string
	rotator *Rotator
}

func newWorld(t *testing.T, limit int64) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), rotator: NewRotator(limit, slog.New(slog.DiscardHandler))}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.rotator.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := w.rotator.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) path(instance string) string { return filepath.Join(w.dir, instance+".log") }

// instance opens a log as an instance does: it writes to it all the time.
func (w *world) instance(name string) *os.File {
	w.Helper()
	f, err := Open(w.path(name))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { f.Close() })
	w.rotator.Watch(w.path(name), name)
	return f
}

// print writes to a log and waits until its time is noted.
func (w *world) print(f *os.File, text string) {
	w.Helper()
	if _, err := f.WriteString(text); err != nil {
		w.Fatal(err)
	}
	w.noted(f)
}

// noted waits until the times of a log are as long as the log.
func (w *world) noted(f *os.File) {
	w.Helper()
	eventually(w.T, "the times of "+f.Name()+" are noted", func() bool {
		info, err := f.Stat()
		if err != nil {
			w.Fatal(err)
		}
		t := openTimes(f.Name(), time.Time{})
		defer t.close()
		return t != nil && t.last.offset == info.Size()
	})
}

func (w *world) read(q hop3.LogQuery) []hop3.LogEntry {
	w.Helper()
	if q.Lines == 0 {
		q.Lines = 1000
	}
	var entries []hop3.LogEntry
	err := Read(w.Context(), w.dir, q, func(e hop3.LogEntry) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return entries
}

// lines are the entries as "instance: text".
func lines(entries []hop3.LogEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Instance+": "+e.Text)
	}
	return out
}

func (w *world) wantLines(q hop3.LogQuery, want ...string) {
	w.Helper()
	if got := lines(w.read(q)); !slices.Equal(got, want) {
		w.Errorf("%+v\ngave %q\nwant %q", q, got, want)
	}
}

// follow collects what Read gives that follows.
type follow struct {
	t       *testing.T
	entries chan hop3.LogEntry
	cancel  context.CancelFunc
	ended   chan error
}

func (w *world) follow(q hop3.LogQuery) *follow {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	f := &follow{w.T, make(chan hop3.LogEntry), cancel, make(chan error, 1)}
	q.Follow = true
	go func() {
		f.ended <- Read(ctx, w.dir, q, func(e hop3.LogEntry) error {
			select {
			case f.entries <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	w.Cleanup(cancel)
	return f
}

func (f *follow) next() string {
	f.t.Helper()
	select {
	case e := <-f.entries:
		return e.Instance + ": " + e.Text
	case err := <-f.ended:
		f.t.Fatalf("following ended: %v", err)
	case <-time.After(20 * time.Second):
		f.t.Fatal("nothing comes")
	}
	return ""
}

func (f *follow) want(lines ...string) {
	f.t.Helper()
	for _, want := range lines {
		if got := f.next(); got != want {
			f.t.Errorf("got %q, want %q", got, want)
		}
	}
}

func (f *follow) stop() {
	f.t.Helper()
	f.cancel()
	if err := <-f.ended; !errors.Is(err, context.Canceled) {
		f.t.Errorf("following ended with %v", err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}
