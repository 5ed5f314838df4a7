package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/abilian/hop3/hop3/disk"
)

func TestCreate(t *testing.T) {
	base := t.TempDir()
	dir, outside := filepath.Join(base, "app", "log"), filepath.Join(base, "outside")
	do(t, os.Mkdir(outside, 0o755))
	f, err := disk.Files{}.Create(dir, "cron/a.1.log")
	do(t, err)
	_, err = f.Write([]byte("hello"))
	do(t, err)
	do(t, f.Close())
	if text, err := os.ReadFile(filepath.Join(dir, "cron", "a.1.log")); err != nil || string(text) != "hello" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := (disk.Files{}).Create(dir, "cron/a.1.log"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("what is there: %v", err)
	}
	do(t, os.Symlink(outside, filepath.Join(dir, "link")))
	do(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "file")))
	for _, name := range []string{"link/x", "file", "../x", "/etc/x"} {
		if _, err := (disk.Files{}).Create(dir, name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("%v was made outside", left)
	}
}
