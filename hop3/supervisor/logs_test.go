package supervisor

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLogsOfAChattyAppStaySmall has two instances write without end.
func TestLogsOfAChattyAppStaySmall(t *testing.T) {
	const limit = 1 << 20
	s, err := New(Options{RunDir: t.TempDir(), LogMaxBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i := start(t, s, worker(t, "while :; do head -c 100000 /dev/zero | tr '\\0' x; echo; done", 1))[0]
	defer stop(t, s)
	eventually(t, "the log has been rotated twice", func() bool {
		_, err := os.Stat(i.LogFile + ".2")
		return err == nil
	})
	for range 20 {
		for _, file := range []string{i.LogFile, i.LogFile + ".1", i.LogFile + ".2"} {
			if info, err := os.Stat(file); err == nil && info.Size() > 100*limit {
				t.Fatalf("%s has %d bytes", file, info.Size())
			}
		}
	}
}

func TestRotateKeepsTheLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.1.log")
	writer, err := openLog(file) // as an instance: open all the time
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	rounds := []string{strings.Repeat("first\n", 100), strings.Repeat("second\n", 100), strings.Repeat("third\n", 100)}
	for _, text := range rounds {
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := rotate(file, 500); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := writer.WriteString("now\n"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"": "now\n",
		// Only the end of what is too long is kept.
		".1": rounds[2][len(rounds[2])-500:],
		".2": rounds[1][len(rounds[1])-500:],
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
		if f, err := openLog(file); err == nil {
			f.Close()
			t.Errorf("%s was opened", file)
		}
	}
	if err := rotate(link, 1); err == nil {
		if info, err := os.Stat(secret); err != nil || info.Size() != 1000 {
			t.Errorf("what the link points to was rotated")
		}
	}
}
