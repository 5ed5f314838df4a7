package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// undoRestore brings an app back to where it was before a restore. The caller
// holds its lock. What cannot be undone now stays noted: the next start tries
// again.
func (p *Platform) undoRestore(ctx context.Context, note hop3.BackupRestore, out hop3.Output) error {
	say(out, "-----> Undoing the restore of '%s'", note.Target)
	if err := p.undoAddons(ctx, note, out); err != nil {
		return fmt.Errorf("undoing the restore: %w", err)
	}
	app, err := p.undoFiles(ctx, note)
	if err != nil {
		return fmt.Errorf("undoing the restore: %w", err)
	}
	if note.Created {
		if err := p.destroyLocked(ctx, app, hop3.Discard); err != nil {
			return fmt.Errorf("undoing the restore: %w", err)
		}
		p.endRestore(ctx, note)
		return nil
	}
	if err := p.resumeLocked(ctx, app); err != nil {
		return fmt.Errorf("starting '%s' again: %w", note.Target, err)
	}
	p.endRestore(ctx, note)
	return nil
}

// resumeLocked brings an app that is locked to what the database says of it.
func (p *Platform) resumeLocked(ctx context.Context, app hop3.App) error {
	if !app.Awake() || app.Live == 0 {
		return nil
	}
	live, err := p.Store.Release(ctx, app.Name, app.Live)
	if err != nil {
		return err
	}
	unlock, err := p.lockRunning(ctx, app.Name)
	if err != nil {
		return err
	}
	defer unlock()
	return p.bringUp(ctx, live)
}

// undoFiles brings files and settings of an app back.
func (p *Platform) undoFiles(ctx context.Context, note hop3.BackupRestore) (hop3.App, error) {
	before, dir := p.beforeDir(note.Target), p.appDir(note.Target)
	if note.Swapped {
		names, err := p.Files.List(before)
		if err != nil {
			return hop3.App{}, err
		}
		for _, name := range names {
			// Out of the way in one step, because removing takes time.
			grave := filepath.Join(p.stageDir(note.Target), "undone-"+name)
			err := errors.Join(p.Files.Remove(grave), p.Files.MakeDir(p.stageDir(note.Target)))
			if has, _ := p.Files.List(dir); err == nil && contains(has, name) {
				err = p.Files.Rename(filepath.Join(dir, name), grave)
			}
			if err == nil {
				err = p.Files.Rename(filepath.Join(before, name), filepath.Join(dir, name))
			}
			if err != nil {
				return hop3.App{}, fmt.Errorf("bringing back %s: %w", name, err)
			}
		}
	}
	return p.Store.UpdateApp(ctx, note.Target, func(a *hop3.App) error {
		if b := note.Before; b != nil {
			a.Env, a.Scale, a.HTTP, a.DeployBranch, a.Source = b.Env, b.Scale, b.HTTP, b.DeployBranch, b.Source
			if a.State != hop3.StateRunning && a.Live != 0 {
				a.SetState(b.State, "")
			}
		}
		return nil
	})
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// endRestore forgets a restore that has ended, one way or the other, and
// removes what it left.
func (p *Platform) endRestore(ctx context.Context, note hop3.BackupRestore, events ...hop3.Event) {
	err := p.Store.EndRestore(ctx, note.Target, events...)
	if err == nil {
		err = errors.Join(p.Files.Remove(p.stageDir(note.Target)), p.Files.Remove(p.beforeDir(note.Target)))
	}
	if err != nil {
		p.Logger.Error("ending a restore", zap.String("app", note.Target), zap.Error(err))
	}
}

// settleBackups ends what an earlier server left of backups, dumps and restores. It
// runs before the apps are brought up: of an app whose addons are half
// replaced nothing runs until they are what they were, see finishRestores.
func (p *Platform) settleBackups(ctx context.Context) error {
	err := p.sweepDumps()
	if p.Backups == nil {
		return err
	}
	err = errors.Join(err, p.Backups.Sweep())
	all, listErr := p.Store.Backups(ctx, "")
	err = errors.Join(err, listErr)
	for _, b := range all {
		if b.State != hop3.BackupStarted {
			continue
		}
		const why = "the server ended before the backup was complete"
		_, updateErr := p.Store.UpdateBackup(ctx, b.ID, func(x *hop3.Backup) error {
			x.State, x.Error, x.EndedAt = hop3.BackupFailed, why, p.now().UTC()
			return nil
		}, p.backupEvent(ctx, hop3.EventBackupFailed, b, "the backup %s failed: %s", b.ID, why))
		// It may have been complete but for its row.
		err = errors.Join(err, p.Backups.Remove(b), updateErr)
	}
	notes, listErr := p.Store.Restores(ctx)
	err = errors.Join(err, listErr)
	for _, note := range notes {
		err = errors.Join(err, p.settleRestore(ctx, note))
	}
	return errors.Join(err, p.sweepCheckouts(notes))
}

// settleRestore decides a restore that was interrupted: one whose release
// serves has succeeded.
func (p *Platform) settleRestore(ctx context.Context, note hop3.BackupRestore) error {
	app, err := p.Store.App(ctx, note.Target)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		if len(note.Made) == 0 {
			p.endRestore(ctx, note)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if app.Live != 0 && (note.Before == nil || app.Live != note.Before.Live) {
		live, err := p.Store.Release(ctx, app.Name, app.Live)
		if err != nil {
			return err
		}
		if live.Kind == hop3.ReleaseRestore {
			p.endRestore(ctx, note)
			return nil
		}
	}
	p.Logger.Warn("undoing a restore that the server's end interrupted", zap.String("app", note.Target), zap.String("backup", note.Backup))
	if _, err := p.undoFiles(ctx, note); err != nil {
		return err
	}
	if len(note.Made)+len(note.Replaced) == 0 && !note.Created {
		p.endRestore(ctx, note)
		return nil
	}
	if len(note.Replaced) > 0 {
		_, err = p.Store.UpdateApp(ctx, note.Target, func(a *hop3.App) error {
			a.SetState(hop3.StateStopped, "")
			return nil
		})
	}
	return err
}

// sweepCheckouts removes directories of backups and restores that nobody needs.
func (p *Platform) sweepCheckouts(notes []hop3.BackupRestore) error {
	names, err := p.Files.List(p.appsDir())
	for _, name := range names {
		needed := false
		for _, note := range notes {
			needed = needed || filepath.Base(p.stageDir(note.Target)) == name || filepath.Base(p.beforeDir(note.Target)) == name
		}
		if len(name) > len(backupPrefix) && name[:len(backupPrefix)] == backupPrefix && !needed {
			err = errors.Join(err, p.Files.Remove(filepath.Join(p.appsDir(), name)))
		}
	}
	return err
}

// finishRestores undoes what is left of restores that were interrupted: their
// addons, and then the app serves again. It returns false while something is
// left.
func (p *Platform) finishRestores(ctx context.Context) bool {
	notes, err := p.Store.Restores(ctx)
	if err != nil {
		p.Logger.Error("reading the restores", zap.Error(err))
		return false
	}
	done := true
	for _, note := range notes {
		if err := p.finishRestore(ctx, note); err != nil && ctx.Err() == nil {
			done = false
			p.Logger.Error("undoing a restore", zap.String("app", note.Target), zap.Error(err))
		}
	}
	return done
}

func (p *Platform) finishRestore(ctx context.Context, note hop3.BackupRestore) error {
	unlock, err := p.lockAny(ctx, note.Target)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := p.Store.App(ctx, note.Target); hop3.CodeOf(err) == hop3.CodeNotFound {
		if err := p.undoAddons(ctx, note, hop3.Discard); err != nil {
			return err
		}
		p.endRestore(ctx, note)
		return nil
	}
	return p.undoRestore(ctx, note, hop3.Discard)
}
