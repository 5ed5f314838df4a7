package logfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestFollowing(t *testing.T) {
	w := newWorld(t, 1<<20)
	web := w.instance("web.1")
	w.print(web, "one\ntwo\nthr")
	f := w.follow(hop3.LogQuery{Lines: 1})
	f.want("web.1: two")
	w.print(web, "ee\nfour\n")
	f.want("web.1: three", "web.1: four")

	worker := w.instance("worker.1") // of a new release
	w.print(worker, "hello\n")
	f.want("worker.1: hello")

	if err := os.Truncate(w.path("worker.1"), 0); err != nil { // by the app itself
		t.Fatal(err)
	}
	w.print(worker, "hi\n")
	f.want("worker.1: hi")
	w.print(worker, strings.Repeat("x", 100_000)+"\nshort\n")
	f.want("worker.1: "+strings.Repeat("x", maxLine)+cutMark, "worker.1: short")
	f.stop()
}

func TestFollowingWhatIsAskedFor(t *testing.T) {
	w := newWorld(t, 1<<20)
	web, worker := w.instance("web.1"), w.instance("worker.1")
	w.print(web, "an Error\nfine\n")
	f := w.follow(hop3.LogQuery{Lines: 10, Type: "web", Grep: "error"})
	f.want("web.1: an Error")
	w.print(worker, "error\n")
	w.print(web, "fine\nmore errors\n")
	f.want("web.1: more errors")
	f.stop()
}

// Every line arrives once, in order, however often the log is rotated.
func TestFollowingOverRotations(t *testing.T) {
	w := newWorld(t, 10_000)
	web := w.instance("web.1")
	w.print(web, "begin\n")
	f := w.follow(hop3.LogQuery{Lines: 10})
	f.want("web.1: begin")
	const batches, lines = 40, 500
	for batch := range batches {
		// At once, and not while it is rotated: what is written in the moment
		// between the copy and the emptying is lost.
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, "line %d\n", batch*lines+i)
		}
		if _, err := web.WriteString(text.String()); err != nil {
			t.Fatal(err)
		}
		for i := range lines {
			if got, want := f.next(), fmt.Sprintf("web.1: line %d", batch*lines+i); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		w.settled(web)
	}
	if _, err := os.Stat(w.path("web.1") + ".2"); err != nil {
		t.Errorf("it was not rotated: %v", err)
	}
	f.stop()
}

// Who does not read keeps nobody's lines in memory, and hears that some are
// missing.
func TestASlowFollower(t *testing.T) {
	w := newWorld(t, 10_000)
	web := w.instance("web.1")
	w.print(web, "begin\n")
	f := w.follow(hop3.LogQuery{Lines: 10})
	f.want("web.1: begin")
	w.print(web, "next\n")
	f.want("web.1: next")
	for range 6 { // rotations, while nobody reads
		if _, err := web.WriteString(numbered(0, 2000)); err != nil {
			t.Fatal(err)
		}
		w.settled(web)
	}
	w.print(web, "the end\n")
	lost := false
	for {
		line := f.next()
		lost = lost || strings.HasSuffix(line, lostLines)
		if line == "web.1: the end" {
			break
		}
	}
	if !lost {
		t.Error("it was not told that lines are missing")
	}
	f.stop()
}

func TestFollowingEnds(t *testing.T) {
	w := newWorld(t, 1<<20)
	w.print(w.instance("web.1"), "one\n")
	before := runtime.NumGoroutine()
	gone := errors.New("gone")
	if err := Read(t.Context(), w.dir, hop3.LogQuery{Lines: 5, Follow: true}, func(hop3.LogEntry) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("the reader left: %v", err)
	}
	destroyed := hop3.LogQuery{Follow: true, Alive: func(context.Context) error { return gone }}
	if err := Read(t.Context(), w.dir, destroyed, func(hop3.LogEntry) error { return nil }); !errors.Is(err, gone) {
		t.Errorf("the app was destroyed: %v", err)
	}
	f := w.follow(hop3.LogQuery{Lines: 1})
	f.want("web.1: one")
	f.stop()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestFollowingTheBuild(t *testing.T) {
	w := newWorld(t, 1<<20)
	name := w.dir + "/" + buildLog
	if err := os.WriteFile(name, []byte("-----> Building\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := w.follow(hop3.LogQuery{Lines: 10, Build: true})
	f.want(": -----> Building")
	next := name + ".next"
	if err := os.WriteFile(next, []byte("-----> Building once more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		t.Fatal(err)
	}
	f.want(": -----> Building once more")
	f.stop()
}
