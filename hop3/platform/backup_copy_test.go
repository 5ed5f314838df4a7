package platform

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// dirTarget is a target in a directory, that fails at chosen moments. The real
// ones are in package backup.
type dirTarget struct {
	dir  string
	fail error
	puts int // after so many it fails; -1 for never
	rot  bool
}

func (*dirTarget) URL() string { return "test://target" }

func (d *dirTarget) Begin(context.Context) error { return d.fail }

func (d *dirTarget) Put(_ context.Context, name, file string, _ func(int64)) error {
	if d.puts == 0 {
		return errors.New("the target is gone")
	}
	d.puts--
	to := filepath.Join(d.dir, name)
	content, err := os.ReadFile(file)
	if d.rot && len(content) > 0 {
		content[0] ^= 1
	}
	return errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o644))
}

func (d *dirTarget) Get(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(d.dir, name))
}

func (d *dirTarget) Remove(_ context.Context, dir string, first []string) error {
	for _, name := range first {
		_ = os.Remove(filepath.Join(d.dir, dir, name))
	}
	if dir == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(d.dir, dir))
}

// A backup is good once its copy was read back; until then it is tried again,
// also by the next server.
func TestBackup_ACopyIsGoodOnceItWasRead(t *testing.T) {
	for name, spoil := range map[string]func(d *dirTarget){
		"not there":            func(d *dirTarget) { d.fail = hop3.Errorf(hop3.CodeUnavailable, "wrong password") },
		"gone in the middle":   func(d *dirTarget) { d.puts = 2 },
		"writes what it likes": func(d *dirTarget) { d.rot = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newBackupWorld(t)
			target := &dirTarget{dir: t.TempDir(), puts: -1}
			w.target = target
			w.equip()
			w.filled()
			spoil(target)
			b, err := w.CreateBackup(t.Context(), alice, BackupRequest{App: "blog", Out: w.out})
			if hop3.CodeOf(err) != hop3.CodeUnavailable || b.State != hop3.BackupUploading || b.Remote != "" {
				t.Fatalf("it is %s at %q: %v", b.State, b.Remote, err)
			}
			if w.events(hop3.EventBackupFailed) != 1 {
				t.Error("there is no event")
			}
			if _, err := os.Stat(filepath.Join(target.dir, b.Place(), "metadata.json")); err == nil {
				t.Error("what is there looks like a backup")
			}
			target.fail, target.puts, target.rot = nil, -1, false
			w.start()
			w.uploadWaiting(t.Context())
			got, err := w.Store.Backup(t.Context(), b.ID)
			if w.must(err); got.State != hop3.BackupCompleted || got.Remote != "test://target/apps/blog/"+b.ID {
				t.Errorf("then it is %s at %q", got.State, got.Remote)
			}
			w.must(os.RemoveAll(b.Dir))
			w.change("second")
			_, err = w.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: b.ID, Out: w.out})
			w.must(err)
			w.settled()
			if got := w.has("blog"); got != whole {
				t.Errorf("from the copy it has %s", got)
			}
			w.must(w.DestroyBackup(t.Context(), Actor{Username: "root", Admin: true}, b.ID))
			if left, _ := os.ReadDir(filepath.Join(target.dir, "apps", "blog")); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
		})
	}
}
