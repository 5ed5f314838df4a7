package logfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRotateKeepsTheLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.1.log")
	writer, err := Open(file) // as an instance: open all the time
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
		if f, err := Open(file); err == nil {
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
