package platform

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

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
