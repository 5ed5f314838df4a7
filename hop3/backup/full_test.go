package backup_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
)

// On a disk that is full no backup looks like one, and the room comes back.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("NOT TESTED: a small disk takes the right to mount one: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	s := open(t, backup.Options{Dir: filepath.Join(dir, "backups")})
	b := hop3.Backup{ID: id, App: "blog"}
	w, err := s.Begin(b)
	must(t, err)
	_, _, err = w.Archive(t.Context(), "data.tar.gz", hop3.BackupDir{Name: "data", Path: noise(t, 8<<20)})
	if !hop3.IsDiskFull(err) {
		t.Errorf("it says %v", err)
	}
	must(t, w.Abort())
	if left, err := os.ReadDir(filepath.Dir(s.Dir(b))); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
	made(t, s, noise(t, 100<<10))
	r, err := s.Open(s.Dir(b))
	must(t, err)
	// A restore that finds no room says so too.
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 4<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	to := filepath.Join(dir, "to")
	must(t, os.Mkdir(to, 0o700))
	if err := r.Extract(t.Context(), "data.tar.gz", func(string) string { return to }); !hop3.IsDiskFull(err) {
		t.Errorf("a restore says %v", err)
	}
}
