package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
	"github.com/abilian/hop3/hop3/disk"
)

// dumpAddons is a provider whose addons hold a text.
type dumpAddons struct {
	*fakeAddons
	holds map[string]string // by name
	after func(name string) // a restore; nil: nothing
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
	f.holds[a.Name] = string(text)
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

func TestBackup_OneThatFailsLeavesNothing(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	w.addons.fail["dump"] = hop3.Errorf(hop3.CodeUnavailable, "the service does not answer")
	if _, err := w.CreateBackup(t.Context(), alice, BackupRequest{App: "blog", Out: w.out}); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("it says %v", err)
	}
	all, err := w.BackupList(t.Context(), alice, "blog", 0)
	if w.must(err); len(all) != 1 || all[0].State != hop3.BackupFailed || !strings.Contains(all[0].Error, "does not answer") || all[0].Dir != "" {
		t.Errorf("the list has %+v", all)
	}
	files, _ := filepath.Glob(filepath.Join(w.home, "backups", "apps", "blog", "*"))
	hidden, _ := filepath.Glob(filepath.Join(w.home, "backups", "apps", "blog", ".*"))
	if len(files)+len(hidden) > 0 {
		t.Errorf("%v %v are left", files, hidden)
	}
	if w.events(hop3.EventBackupFailed) != 1 {
		t.Error("there is no event")
	}
	if _, err := w.RestoreBackup(t.Context(), alice, RestoreRequest{Backup: all[0].ID, Out: w.out}); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("it is restored: %v", err)
	}
	delete(w.addons.fail, "dump")
	b, err := w.CreateBackup(t.Context(), alice, BackupRequest{App: "blog", NoAddons: true, Out: w.out})
	if w.must(err); len(b.Addons) > 0 {
		t.Errorf("without addons it has %v", b.Addons)
	}
}

func TestBackup_OneThatIsCutOffIsFailed(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	b := hop3.Backup{ID: hop3.NewBackupID(time.Now()), App: "blog", State: hop3.BackupStarted, CreatedAt: time.Now()}
	w.must(w.Store.NewBackup(t.Context(), b))
	_, err := w.Backups.Begin(b)
	w.must(err)
	w.start()
	got, err := w.Store.Backup(t.Context(), b.ID)
	if w.must(err); got.State != hop3.BackupFailed || w.events(hop3.EventBackupFailed) != 1 {
		t.Errorf("it is %+v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(w.home, "backups", "apps", "blog", ".*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestBackup_AProofIsARestore(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	b := w.back()
	got, err := w.VerifyBackup(t.Context(), alice, b.ID, w.out)
	w.must(err)
	if got.ProvenAt.IsZero() || got.Proof != "" || w.events(hop3.EventBackupVerified) != 1 {
		t.Errorf("it is %+v", got)
	}
	w.addons.fail["lose"] = errors.New("a row")
	if _, err := w.VerifyBackup(t.Context(), alice, b.ID, w.out); err == nil {
		t.Error("an addon that holds less is as good")
	}
	got, err = w.Store.Backup(t.Context(), b.ID)
	if w.must(err); !strings.Contains(got.Proof, "bytes: 4, not 5") || w.events(hop3.EventBackupUnproven) != 1 {
		t.Errorf("it is %+v", got)
	}
	delete(w.addons.fail, "lose")
	if all, err := w.Store.Addons(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("the addons are %v, %v", all, err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.home, "backups", "scratch", "*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	w.addons.after = func(string) { panic(errKilled) }
	if !killed(func() { _, _ = w.VerifyBackup(t.Context(), alice, b.ID, w.out) }) {
		t.Fatal("it was not cut off")
	}
	w.addons.after = nil
	w.start()
	if all, err := w.Store.Addons(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("after a crash the addons are %v, %v", all, err)
	}
}

// A schedule makes backups, proves them, and keeps the newest; an alarm says
// when none is proven.
func TestBackup_Schedule(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	app := w.app()
	_, err := w.Store.UpdateRelease(t.Context(), "blog", app.Live, func(r *hop3.Release) error {
		r.Backup = hop3.BackupPolicy{Schedule: "30 3 * * *", Keep: 2}
		return nil
	})
	w.must(err)
	ids := func() (ids []string) {
		all, err := w.BackupList(t.Context(), alice, "blog", 0)
		w.must(err)
		for _, b := range all {
			ids = append(ids, b.ID)
		}
		return ids
	}
	w.takeBackups(t.Context())
	if got := ids(); len(got) > 0 {
		t.Errorf("at once there are %v", got)
	}
	// What an app of this name had that was destroyed is not counted, or touched.
	other := hop3.Backup{ID: "20200101_000000_abcdef", App: "blog", Kind: hop3.BackupScheduled, State: hop3.BackupCompleted, CreatedAt: app.CreatedAt.Add(-time.Hour), AppCreatedAt: app.CreatedAt.Add(-24 * time.Hour)}
	w.must(w.Store.NewBackup(t.Context(), other))
	defer func() {
		if _, err := w.Store.Backup(t.Context(), other.ID); err != nil {
			t.Errorf("the backup of the app before: %v", err)
		}
	}()
	var made []string
	for range 4 {
		w.time.jump(24 * time.Hour)
		w.takeBackups(t.Context())
		w.takeBackups(t.Context())
		made = append(made, ids()[0])
	}
	slices.Reverse(made)
	if got := ids(); !slices.Equal(got, made[:2]) {
		t.Errorf("there are %v of %v", got, made)
	}
	newest, err := w.Store.Backup(t.Context(), made[0])
	if w.must(err); newest.ProvenAt.IsZero() || newest.Kind != hop3.BackupScheduled {
		t.Errorf("the newest is %+v", newest)
	}
	w.checkProofs(t.Context())
	if w.events(hop3.EventBackupOverdue) != 0 {
		t.Error("it is overdue")
	}
	w.addons.fail["dump"] = errors.New("no")
	for range 3 {
		w.time.jump(25 * time.Hour)
		w.takeBackups(t.Context())
		w.checkProofs(t.Context())
	}
	if n := w.events(hop3.EventBackupOverdue); n != 2 { // after two days, and a day later again
		t.Errorf("%d alarms were given", n)
	}
}

func TestBackup_WhoMay(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	b := w.back()
	ctx := t.Context()
	for _, name := range []string{"viewer", "deployer", "stranger"} {
		w.must(w.Store.CreateUser(ctx, hop3.User{Username: name, Active: true}))
		w.must(w.Store.SetMember(ctx, hop3.DefaultTeam, hop3.Member{Username: name}))
	}
	w.must(w.Store.SetGrant(ctx, hop3.Grant{App: "blog", User: "viewer", Role: hop3.RoleViewer}))
	w.must(w.Store.SetGrant(ctx, hop3.Grant{App: "blog", User: "deployer", Role: hop3.RoleDeployer}))
	check := func(what string, err error, want hop3.Code) {
		t.Helper()
		if hop3.CodeOf(err) != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	for name, want := range map[string]hop3.Code{"viewer": "", "deployer": "", "stranger": hop3.CodeNotFound} {
		_, _, _, err := w.BackupDetails(ctx, Actor{Username: name}, b.ID)
		check("details by a "+name, err, want)
	}
	for name, want := range map[string]hop3.Code{"viewer": hop3.CodeForbidden, "stranger": hop3.CodeNotFound} {
		who := Actor{Username: name}
		_, err := w.RestoreBackup(ctx, who, RestoreRequest{Backup: b.ID, Out: w.out})
		check("a restore by a "+name, err, want)
		_, err = w.VerifyBackup(ctx, who, b.ID, w.out)
		check("a proof by a "+name, err, want)
		check("destroying by a "+name, w.DestroyBackup(ctx, who, b.ID), want)
	}
	_, err := w.RestoreBackup(ctx, Actor{Username: "deployer"}, RestoreRequest{Backup: b.ID, Target: "copy", Out: w.out})
	check("a new app by who may make none", err, hop3.CodeForbidden)
	check("destroying by a deployer", w.DestroyBackup(ctx, Actor{Username: "deployer"}, b.ID), hop3.CodeForbidden)
	_, err = w.BackupPlatform(ctx, alice, w.out)
	check("all of it by a user", err, hop3.CodeForbidden)

	// Whose app of that name it is later has no part in what was saved.
	w.must(w.DestroyApp(ctx, alice, "blog", w.out))
	w.deployed("other")
	w.must(w.Store.SetGrant(ctx, hop3.Grant{App: "blog", User: "deployer", Role: hop3.RoleAdmin}))
	_, _, _, err = w.BackupDetails(ctx, Actor{Username: "deployer"}, b.ID)
	check("details by who has the name now", err, hop3.CodeNotFound)
	_, _, _, err = w.BackupDetails(ctx, alice, b.ID)
	check("details by the team", err, "")
	check("destroying by an admin", w.DestroyBackup(ctx, Actor{Username: "root", Admin: true}, b.ID), "")
	if left, _ := filepath.Glob(filepath.Join(w.home, "backups", "apps", "*", "*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestBackup_ThePlatform(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	all, err := w.BackupPlatform(t.Context(), Actor{Username: "root", Admin: true}, w.out)
	w.must(err)
	if len(all) != 2 || all[0].App != "" || all[1].App != "blog" {
		t.Errorf("there are %+v", all)
	}
	if text, err := os.ReadFile(filepath.Join(all[0].Dir, "database.dump")); string(text) != "database" || err != nil {
		t.Errorf("the database is %q, %v", text, err)
	}
	if list, err := w.BackupList(t.Context(), alice, "", 0); err != nil || len(list) != 1 {
		t.Errorf("a user sees %v, %v", list, err)
	}
	_, err = w.VerifyBackup(t.Context(), Actor{Username: "root", Admin: true}, all[0].ID, w.out)
	w.must(err)
}
