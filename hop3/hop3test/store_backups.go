package hop3test

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/abilian/hop3/hop3"
)

// BackupDatabase is what a store does for backups.
type BackupDatabase interface {
	NewBackup(ctx context.Context, b hop3.Backup, events ...hop3.Event) error
	UpdateBackup(ctx context.Context, id string, change func(*hop3.Backup) error, events ...hop3.Event) (hop3.Backup, error)
	Backup(ctx context.Context, id string) (hop3.Backup, error)
	Backups(ctx context.Context, app string) ([]hop3.Backup, error)
	DeleteBackup(ctx context.Context, id string, events ...hop3.Event) error
	SaveRestore(ctx context.Context, r hop3.BackupRestore) error
	Restores(ctx context.Context) ([]hop3.BackupRestore, error)
	EndRestore(ctx context.Context, target string, events ...hop3.Event) error
}

func (s *storeStory) backups() {
	var b hop3.Backup
	s.fill(reflect.ValueOf(&b).Elem())
	b.ID, b.App = "20260228_120000_aaaaaa", "blog"
	s.ok(s.db.NewBackup(s.ctx, b))
	got, err := s.connect().Backup(s.ctx, b.ID)
	s.ok(err)
	s.same(got, b)
	s.fails(s.db.NewBackup(s.ctx, b), hop3.CodeConflict, "There is a backup 20260228_120000_aaaaaa already.")

	later := hop3.Backup{ID: "20260228_120001_bbbbbb", App: "blog", State: hop3.BackupStarted, CreatedAt: b.CreatedAt.Add(time.Second)}
	own := hop3.Backup{ID: "20260228_115959_cccccc", CreatedAt: b.CreatedAt.Add(-time.Second)}
	s.ok(errors.Join(s.db.NewBackup(s.ctx, later), s.db.NewBackup(s.ctx, own)))
	s.backupIDs("blog", later.ID, b.ID)
	s.backupIDs("", later.ID, b.ID, own.ID)
	s.backupIDs("shop")

	no := errors.New("no")
	_, err = s.db.UpdateBackup(s.ctx, later.ID, func(x *hop3.Backup) error { x.Size = 9; return no })
	s.same(err, no)
	got, err = s.db.UpdateBackup(s.ctx, later.ID, func(x *hop3.Backup) error {
		x.ID, x.App, x.State, x.Error = "other", "other", hop3.BackupFailed, "a \x00 in it"
		return nil
	}, hop3.Event{Kind: hop3.EventBackupFailed, App: "blog"})
	s.ok(err)
	s.same(got.ID+got.App, later.ID+"blog")
	got, err = s.db.Backup(s.ctx, later.ID)
	s.ok(err)
	later.State, later.Error = hop3.BackupFailed, "a \uFFFD in it"
	s.same(got, later)

	s.ok(errors.Join(s.db.DeleteBackup(s.ctx, b.ID), s.db.DeleteBackup(s.ctx, b.ID)))
	_, err = s.db.Backup(s.ctx, b.ID)
	s.same(hop3.CodeOf(err), hop3.CodeNotFound)

	var r hop3.BackupRestore
	s.fill(reflect.ValueOf(&r).Elem())
	r.Target = "blog"
	s.ok(errors.Join(s.db.SaveRestore(s.ctx, hop3.BackupRestore{Target: "blog"}), s.db.SaveRestore(s.ctx, r)))
	under, err := s.connect().Restores(s.ctx)
	s.ok(err)
	s.same(under, []hop3.BackupRestore{r})
	s.ok(errors.Join(s.db.EndRestore(s.ctx, "blog"), s.db.EndRestore(s.ctx, "blog")))
	under, err = s.db.Restores(s.ctx)
	s.ok(err)
	s.same(len(under), 0)
}

func (s *storeStory) backupIDs(app string, want ...string) {
	s.Helper()
	found, err := s.db.Backups(s.ctx, app)
	s.ok(err)
	var ids []string
	for _, b := range found {
		ids = append(ids, b.ID)
	}
	s.same(ids, want)
}
