package platform

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
)

// dumpAddons is a provider whose addons hold a text.
type dumpAddons struct {
	*fakeAddons
	holds map[string]string // by name
	after func(name string) // a restore; nil: nothing
	// restored are the details of the addon that was restored last.
	restored hop3.AddonDetails
}

func newDumpAddons() *dumpAddons {
	return &dumpAddons{fakeAddons: newFakeAddons("fake"), holds: map[string]string{}}
}

func (*dumpAddons) DumpSuffix() string { return ".txt" }

func (f *dumpAddons) count(name string) hop3.Inventory {
	return hop3.Inventory{"bytes": int64(len(f.holds[name]))}
}

func (f *dumpAddons) Dump(_ context.Context, a hop3.Addon, w io.Writer) (hop3.Inventory, error) {
	if err := f.did("dump"); err != nil {
		return nil, err
	}
	_, err := io.WriteString(w, f.holds[a.Name])
	return f.count(a.Name), err
}

func (f *dumpAddons) Restore(_ context.Context, a hop3.Addon, r io.Reader) error {
	if err := f.did("restore"); err != nil {
		return err
	}
	text, err := io.ReadAll(r)
	f.holds[a.Name], f.restored = string(text), a.Details
	if f.after != nil {
		f.after(a.Name)
	}
	return err
}

func (f *dumpAddons) Inventory(_ context.Context, a hop3.Addon) (hop3.Inventory, error) {
	n := f.count(a.Name)
	if f.did("lose") != nil {
		n["bytes"]--
	}
	return n, nil
}

// backupWorld is a world that makes backups on a real disk, of an app with all
// that one may have.
type backupWorld struct {
	*world
	addons *dumpAddons
	target backup.Target
}

func newBackupWorld(t *testing.T) *backupWorld {
	w := &backupWorld{world: newWorld(t), addons: newDumpAddons()}
	w.equip()
	return w
}

// equip gives the platform what a new server has.
func (w *backupWorld) equip() {
	s, err := backup.Open(backup.Options{Dir: filepath.Join(w.home, "backups"), Version: "test", Target: w.target})
	w.must(err)
	w.Backups = s
	w.Providers = []hop3.AddonProvider{w.addons}
	w.Settings.BackupsKeep = 2
	w.CopyDatabase = func(_ context.Context, file string) error { return os.WriteFile(file, []byte("database"), 0o600) }
}

// start is a new server on the home, as after a crash.
func (w *backupWorld) start() {
	w.t.Helper()
	w.reboot()
	w.equip()
	w.must(w.Reconcile(w.t.Context()))
	if !w.finishRestores(w.t.Context()) {
		w.t.Error("the restores could not be finished")
	}
	w.settled()
}

func (w *backupWorld) put(text string, parts ...string) {
	w.t.Helper()
	path := filepath.Join(append([]string{w.home, "apps"}, parts...)...)
	w.must(os.MkdirAll(filepath.Dir(path), 0o755))
	w.must(os.WriteFile(path, []byte(text), 0o640))
}

// has reads all that the app has, "" for what it has not.
func (w *backupWorld) has(app string) string {
	w.t.Helper()
	read := func(parts ...string) string {
		text, _ := os.ReadFile(filepath.Join(append([]string{w.home, "apps", app}, parts...)...))
		return string(text)
	}
	a, err := w.Store.App(w.t.Context(), app)
	if err != nil {
		return err.Error()
	}
	live, _ := w.Store.Release(w.t.Context(), app, a.Live)
	list, err := w.Store.AttachmentsOf(w.t.Context(), app)
	w.must(err)
	holds := ""
	for _, at := range list {
		holds += w.addons.holds[at.Name]
	}
	version := read("releases", fmt.Sprint(live.Build), "version")
	return fmt.Sprintf("%s data:%s volume:%s git:%s COLOR=%s addons:%d:%s", version, read("data", "file"), read("volumes", "up", "file"), read("git", "HEAD"), a.Env["COLOR"], len(list), holds)
}

const whole = "one data:first volume:first git:first COLOR=red addons:1:first"

// filled deploys blog, with all that an app may have.
func (w *backupWorld) filled() {
	w.t.Helper()
	ctx := w.t.Context()
	w.deployed("one")
	id := w.create("fake", "db")
	_, err := w.AttachAddon(ctx, alice, "blog", id, false, w.out)
	w.must(err)
	_, err = w.SetEnv(ctx, alice, "blog", hop3.Env{"COLOR": "red"}, nil, w.out)
	w.must(err)
	w.settled()
	w.change("first")
	if got := w.has("blog"); got != whole {
		w.t.Fatalf("the app has %s", got)
	}
}

// change has the app write.
func (w *backupWorld) change(text string) {
	w.put(text, "blog", "data", "file")
	w.put(text, "blog", "volumes", "up", "file")
	w.put(text, "blog", "git", "HEAD")
	w.addons.holds["db"] = text
}

func (w *backupWorld) back() hop3.Backup {
	w.t.Helper()
	b, err := w.CreateBackup(w.t.Context(), alice, BackupRequest{App: "blog", Out: w.out})
	w.must(err)
	return b
}

func (w *backupWorld) events(kind hop3.EventKind) int {
	w.t.Helper()
	w.settled() // events may be on their way
	w.writeNoted(w.t.Context())
	found, err := w.Store.Events(w.t.Context(), hop3.EventQuery{Kind: kind})
	w.must(err)
	return len(found)
}
