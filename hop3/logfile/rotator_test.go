package logfile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

func TestRotateKeepsTheLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.1.log")
	writer, err := Open(file) // as an instance: open all the time
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	rounds := []string{strings.Repeat("first\n", 100), strings.Repeat("second\n", 200), strings.Repeat("third\n", 100)}
	for _, text := range rounds {
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := rotate(file, 500, newClock(file, 500)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := writer.WriteString("now\n"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"":   "now\n",
		".1": rounds[2],
		// Only the end of what is much too long is kept.
		".2": rounds[1][len(rounds[1])-1000:],
	} {
		if got, err := os.ReadFile(file + name); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s holds %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
}

func TestLogsAreRegularFiles(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, bytes.Repeat([]byte("x"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	link, pipe := filepath.Join(dir, "link.log"), filepath.Join(dir, "pipe.log")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{link, pipe} {
		if f, err := Open(file); err == nil {
			f.Close()
			t.Errorf("%s was opened", file)
		}
	}
	if err := rotate(link, 1, newClock(link, 1)); err == nil {
		if info, err := os.Stat(secret); err != nil || info.Size() != 1000 {
			t.Errorf("what the link points to was rotated")
		}
	}
}

// A crash at any step of a rotation leaves logs that are read and rotated
// again.
func TestRotationsCutShort(t *testing.T) {
	w := newWorld(t, 1<<20)
	file := w.path("web.1")
	for _, left := range []string{copySuffix, timesSuffix + ".new", ".1", ".1" + timesSuffix, ".2" + timesSuffix} {
		if err := os.WriteFile(file+left, []byte("left over\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := w.instance("web.1")
	w.print(f, "one\n")
	// The log was emptied, and the server died before its times were.
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	w.print(f, "two\n")
	if got := w.read(hop3.LogQuery{}); len(got) != 2 || got[1].Text != "two" || time.Since(got[1].Time) > time.Minute {
		t.Errorf("%+v", got)
	}
	for range 2 {
		if err := rotate(file, 1, newClock(file, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("three\n"); err != nil {
			t.Fatal(err)
		}
	}
	got := lines(w.read(hop3.LogQuery{}))
	if len(got) < 2 || got[len(got)-1] != "web.1: three" {
		t.Errorf("%q", got)
	}
}

// A process that writes as fast as it can fills neither the disk nor the
// memory: the logs stay near their size, and so do the times.
func TestAFlood(t *testing.T) {
	const limit = 1 << 20
	w := newWorld(t, limit)
	f := w.instance("web.1")
	flood := exec.Command("yes", strings.Repeat("all work and no play ", 4))
	flood.Stdout = f
	if err := flood.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = flood.Process.Kill()
		_ = flood.Wait()
	}()
	emptied, last, largest := 0, int64(0), int64(0)
	eventually(t, "the log has been emptied 20 times", func() bool {
		if generation := generationOf(f.Name()); generation != last {
			last = generation
			emptied++
		}
		var total int64
		entries, err := os.ReadDir(w.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && e.Name() != "web.1.log" {
				total += info.Size()
			}
		}
		largest = max(largest, total)
		return emptied > 20
	})
	// Two rotated logs and one that is being made, each at most three times
	// the limit, and their times.
	if most := int64(9*limit + 4*minTimes); largest > most {
		t.Errorf("the rotated logs have %d bytes, more than %d", largest, most)
	}
	if err := flood.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = flood.Wait() // killed
	w.settled(f)
	if got := w.read(hop3.LogQuery{Lines: 5}); len(got) == 0 {
		t.Error("nothing can be read")
	}
}

// Lines that come one by one for ever do not make the times grow for ever.
func TestTimesAreThinned(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.1.log")
	f, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := newClock(file, 0)
	const n = 3 * minTimes / recordSize
	now := time.Now()
	for i := range n {
		if err := os.Truncate(file, int64(i+1)); err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.observe(info, now); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file + timesSuffix)
	if err != nil || info.Size() > minTimes {
		t.Errorf("%d bytes of times, %v", info.Size(), err)
	}
	if again := newClock(file, 0); again.last.offset != n || again.size != info.Size() {
		t.Errorf("%+v, want %+v", again, c)
	}
}
