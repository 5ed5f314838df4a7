package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3/disk"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	do(t, err)
	_, err = f.WriteString(text)
	do(t, errors.Join(err, f.Close()))
}

func lastLines(t *testing.T, n int, files ...string) []string {
	t.Helper()
	var got []string
	do(t, disk.Files{}.Tail(t.Context(), files, n, false, func(_, text string) error {
		got = append(got, text)
		return nil
	}))
	return got
}

func TestTailGivesTheLastLines(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	write(t, name("short"), "one\ntwo\r\n\nfour")
	write(t, name("empty"), "")
	write(t, name("ended"), "a\nb\n")
	var long strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	write(t, name("long"), long.String())
	write(t, name("wide"), strings.Repeat("x", 150<<10)+"\nend\n")

	for _, c := range []struct {
		file string
		n    int
		want []string
	}{
		{"short", 2, []string{"", "four"}},
		{"short", 3, []string{"two", "", "four"}},
		{"short", 100, []string{"one", "two", "", "four"}},
		{"short", 0, nil},
		{"empty", 5, nil},
		{"none", 5, nil},
		{"ended", 1, []string{"b"}},
		{"ended", 2, []string{"a", "b"}},
		{"long", 2, []string{"line 99998", "line 99999"}},
	} {
		if got := lastLines(t, c.n, name(c.file)); !slices.Equal(got, c.want) {
			t.Errorf("the last %d of %s: %q", c.n, c.file, got)
		}
	}
	if got := lastLines(t, 50_000, name("long")); len(got) != 50_000 || got[0] != "line 50000" {
		t.Errorf("%d lines from %q", len(got), got[:1])
	}
	if got := lastLines(t, 2, name("wide")); len(got) != 4 || len(strings.Join(got[:3], "")) != 150<<10 || got[3] != "end" {
		t.Errorf("the wide file came in %d pieces", len(got))
	}
	if got := lastLines(t, 1, name("short"), name("ended")); !slices.Equal(got, []string{"four", "b"}) {
		t.Errorf("two files: %q", got)
	}
}

func TestTailReadsOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	do(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	do(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for _, name := range []string{"link", "pipe", "."} {
		err := disk.Files{}.Tail(t.Context(), []string{filepath.Join(dir, name)}, 5, false, func(_, text string) error {
			t.Errorf("%s: %q", name, text)
			return nil
		})
		if err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// follower collects the lines of a Tail that follows.
type follower struct {
	*testing.T
	lines chan string
}

func follow(t *testing.T, n int, files ...string) follower {
	t.Helper()
	f := follower{t, make(chan string, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- disk.Files{}.Tail(ctx, files, n, true, func(file, text string) error {
			f.lines <- filepath.Base(file) + ": " + text
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Tail: %v", err)
		}
	})
	return f
}

func (f follower) want(lines ...string) {
	f.Helper()
	for _, want := range lines {
		select {
		case got := <-f.lines:
			if got != want {
				f.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			f.Fatalf("%q does not come", want)
		}
	}
}

func TestTailFollows(t *testing.T) {
	dir := t.TempDir()
	web, worker := filepath.Join(dir, "web"), filepath.Join(dir, "worker")
	write(t, web, "one\ntwo\nthr")
	f := follow(t, 2, web, worker)
	f.want("web: two")
	write(t, web, "ee\nfour\n")
	f.want("web: three", "web: four")

	write(t, worker, "hello\n") // made later
	f.want("worker: hello")

	// Rotated by renaming: the last lines of the old file still come.
	write(t, web, "five\nsix, unfinished")
	do(t, os.Rename(web, web+".1"))
	write(t, web, "seven\n")
	f.want("web: five", "web: six, unfinished", "web: seven")

	do(t, os.Truncate(worker, 0))
	write(t, worker, "hi\n") // shorter than before
	f.want("worker: hi")

	do(t, os.Remove(worker))
	write(t, web, "eight\n")
	f.want("web: eight")
	write(t, worker, "back again\n")
	f.want("worker: back again")
}

func TestTailEndsWithItsReader(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	write(t, name, "one\ntwo\n")
	gone := errors.New("the reader is gone")
	err := disk.Files{}.Tail(t.Context(), []string{name}, 10, true, func(_, _ string) error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
