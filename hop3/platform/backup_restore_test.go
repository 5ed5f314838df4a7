package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/disk"
)

func TestBackup_AnotherServerHasAllAgain(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	b := w.back()
	if b.State != hop3.BackupCompleted || len(b.Addons) != 1 || b.Size == 0 || w.events(hop3.EventBackupCreated) != 1 {
		t.Errorf("the backup is %+v", b)
	}
	w.must(w.DestroyApp(t.Context(), alice, "blog", w.out))
	if got, err := w.BackupList(t.Context(), alice, "blog", 0); err != nil || len(got) != 1 {
		t.Errorf("after the app is gone: %v, %v", got, err)
	}

	other := newBackupWorld(t)
	admin := Actor{Username: "alice", Admin: true}
	if _, err := other.RegisterBackup(t.Context(), alice, b.Dir); hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Errorf("a user registers: %v", err)
	}
	_, err := other.RegisterBackup(t.Context(), admin, b.Dir)
	other.must(err)
	_, err = other.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: b.ID, Out: other.out})
	other.must(err)
	other.settled()
	other.serves(1)
	if got := other.has("blog"); got != whole {
		t.Errorf("the other server has %s", got)
	}
	if w.addons.holds["db"] != "first" {
		t.Error("the source's addon was touched")
	}
	left, err := filepath.Glob(filepath.Join(other.home, "apps", ".*"))
	if other.must(err); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestBackup_AnotherAppHasItsOwn(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	b := w.back()
	w.change("second")
	_, err := w.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: b.ID, Target: "copy", Out: w.out})
	w.must(err)
	w.settled()
	if got := w.has("copy"); got != whole {
		t.Errorf("the copy has %s", got)
	}
	if got := w.has("blog"); got != strings.ReplaceAll(whole, "first", "second") {
		t.Errorf("the source has %s", got)
	}
	_, err = w.Deploy(t.Context(), alice, DeployRequest{App: "copy", Kind: hop3.ReleaseUpload, Source: fakeSource{"two"}, Out: w.out})
	w.must(err)
	w.settled()
	if got := w.has("copy"); got != strings.Replace(whole, "one", "two", 1) {
		t.Errorf("after a deploy the copy has %s", got)
	}
}

func TestBackup_TheSameAppGoesBack(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	b := w.back()
	_, err := w.SetEnv(t.Context(), alice, "blog", hop3.Env{"COLOR": "blue"}, nil, w.out)
	w.must(err)
	w.deployed("two")
	w.change("second")
	before := w.has("blog")
	_, err = w.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: b.ID, Label: "oops", Out: w.out})
	w.must(err)
	w.settled()
	if got := w.has("blog"); got != whole {
		t.Errorf("the app has %s", got)
	}
	id, err := w.FindBackup(t.Context(), alice, "oops")
	w.must(err)
	_, err = w.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: id, Out: w.out})
	w.must(err)
	w.settled()
	if got := w.has("blog"); got != before {
		t.Errorf("the safety backup gives %s, before it was %s", got, before)
	}
	if len(w.addons.holds) != 1 {
		t.Errorf("there are addons %v", w.addons.holds)
	}
}

// Whatever fails, the app has what it had, and serves it.
func TestBackup_ARestoreThatFailsChangesNothing(t *testing.T) {
	for name, spoil := range map[string]func(w *backupWorld, dir string){
		"a damaged file": func(w *backupWorld, dir string) { w.must(os.Truncate(filepath.Join(dir, "data.tar.gz"), 10)) },
		"a missing file": func(w *backupWorld, dir string) { w.must(os.Remove(filepath.Join(dir, "env.json"))) },
		"another sum": func(w *backupWorld, dir string) {
			w.must(os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(`{"backup_id":"20260101_000000_abcdef","app_name":"blog","format_version":"1.0"}`), 0o600))
		},
		"the addon": func(w *backupWorld, _ string) {
			w.addons.after = func(name string) { w.addons.after = nil; w.addons.holds[name] = "spoilt!" }
		},
		"the build":       func(w *backupWorld, _ string) { w.builder.fail = errors.New("no") },
		"the start":       func(w *backupWorld, _ string) { w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "sick") },
		"the disk, early": func(w *backupWorld, _ string) { w.Files = &killer{Files: disk.Files{}, at: 7, fail: true} },
		"the disk, late":  func(w *backupWorld, _ string) { w.Files = &killer{Files: disk.Files{}, at: 13, fail: true} },
	} {
		for _, target := range []string{"blog", "copy"} {
			t.Run(name+" "+target, func(t *testing.T) {
				t.Parallel()
				w := newBackupWorld(t)
				w.filled()
				b := w.back()
				w.change("second")
				before := w.has("blog")
				spoil(w, b.Dir)
				if _, err := w.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: b.ID, Target: target, Out: w.out}); err == nil {
					t.Fatal("it was restored")
				}
				w.settled() // what goes on beside it works with the same files
				w.Files = disk.Files{}
				if got := w.has("blog"); got != before {
					t.Errorf("the app has %s, and had %s", got, before)
				}
				app, err := w.Store.App(t.Context(), "blog")
				w.must(err)
				w.serves(app.Live)
				if _, err := w.Store.App(t.Context(), "copy"); hop3.CodeOf(err) != hop3.CodeNotFound {
					t.Errorf("the copy: %v", err)
				}
				if all, err := w.Store.Addons(t.Context()); err != nil || len(all) != 1 {
					t.Errorf("the addons are %v, %v", all, err)
				}
				if notes, err := w.Store.Restores(t.Context()); err != nil || len(notes) > 0 {
					t.Errorf("restores under way: %v, %v", notes, err)
				}
			})
		}
	}
}

// killer ends the server at one of the changes of the disk, or has it fail.
type killer struct {
	Files
	at, n int
	fail  bool
	mu    sync.Mutex
}

var errKilled = errors.New("killed")

func (k *killer) step() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.n++; k.n < k.at || k.fail && k.n > k.at {
		return nil
	}
	if k.fail {
		return errors.New("the disk says no")
	}
	panic(errKilled)
}

func (k *killer) MakeDir(path string) error {
	return errors.Join(k.step(), k.Files.MakeDir(path))
}

func (k *killer) Rename(from, to string) error {
	if err := k.step(); err != nil {
		return err
	}
	return k.Files.Rename(from, to)
}

func (k *killer) Remove(path string) error {
	return errors.Join(k.step(), k.Files.Remove(path))
}

// killed runs f until the killer strikes, and reports whether it did.
func killed(f func()) (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != errKilled { //nolint:errorlint // it is the value itself
				panic(p)
			}
			yes = true
		}
	}()
	f()
	return false
}

// At whatever change of the disk the server ends: the next one has the app as
// it was, or as the backup says, and nothing in between.
func TestBackup_ARestoreThatIsCutOffIsUndoneOrDone(t *testing.T) {
	for _, target := range []string{"blog", "copy"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			cutOff(t, target)
		})
	}
}

func cutOff(t *testing.T, target string) {
	for at := 1; ; at++ {
		w := newBackupWorld(t)
		w.filled()
		b := w.back()
		w.change("second")
		before := w.has("blog")
		w.Files = &killer{Files: disk.Files{}, at: at}
		dead := killed(func() {
			_, err := w.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: b.ID, Target: target, Out: w.out})
			w.must(err)
		})
		w.settled()
		w.start()
		got := w.has(target)
		app, err := w.Store.App(t.Context(), target)
		undone := target == "blog" && got == before || target == "copy" && hop3.CodeOf(err) == hop3.CodeNotFound
		if target == "copy" && at == 1 {
			continue // the app is made, and nothing began yet: an empty one harms nobody
		}
		if !undone && got != whole {
			t.Errorf("%s, cut off at %d: it has %s", target, at, got)
		}
		if err == nil && (app.State != hop3.StateRunning || w.proxy.route(target).Release != app.Live) {
			t.Errorf("%s, cut off at %d: it is %s, and v%d of v%d is routed to", target, at, app.State, w.proxy.route(target).Release, app.Live)
		}
		if target == "copy" && w.has("blog") != before {
			t.Errorf("cut off at %d, the source has %s", at, w.has("blog"))
		}
		left, _ := filepath.Glob(filepath.Join(w.home, "apps", ".*"))
		partial, _ := filepath.Glob(filepath.Join(w.home, "backups", "*", "*", ".*"))
		if addons, err := w.Store.Addons(t.Context()); err != nil || len(addons) != 1 && (target == "blog" || undone) || len(left)+len(partial) > 0 {
			t.Errorf("%s, cut off at %d: %d addons, %v; left are %v %v", target, at, len(addons), err, left, partial)
		}
		if !dead {
			if at < 10 {
				t.Errorf("the disk was changed only %d times", at-1)
			}
			return
		}
	}
}
