package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

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
