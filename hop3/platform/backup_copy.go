package platform

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// goesOff reports whether a backup has a copy off the server, or should.
func (p *Platform) goesOff(ctx context.Context, b hop3.Backup) bool {
	if p.Backups.Target() == "" || b.Kind == hop3.BackupSafety {
		return false
	}
	app, err := p.Store.App(ctx, b.App)
	if err != nil || app.Live == 0 {
		return true
	}
	live, err := p.Store.Release(ctx, b.App, app.Live)
	return err != nil || !live.Backup.Local
}

// upload brings a backup off the server, if it should go there, and says where
// it is then. When that fails the backup is what it was.
func (p *Platform) upload(ctx context.Context, b hop3.Backup, out hop3.Output) (hop3.Backup, error) {
	if b.State != hop3.BackupUploading {
		return b, nil
	}
	unlock, err := p.backupLocks.acquire(ctx, b.ID, false, nil)
	if err != nil {
		return b, err
	}
	defer unlock()
	if now, err := p.Store.Backup(ctx, b.ID); err != nil || now.State != hop3.BackupUploading {
		return now, err // somebody was faster, or it is destroyed
	}
	say(out, "-----> Copying it to %s, and reading it back", p.Backups.Target())
	started := time.Now()
	remote, err := p.Backups.Upload(ctx, b, metered(out, "Copying and reading back", 2*b.Size).counting())
	after := context.WithoutCancel(ctx)
	if err != nil {
		p.Logger.Warn("copying a backup off the server", zap.String("backup", b.ID), zap.Error(err))
		if ctx.Err() != nil {
			return b, context.Cause(ctx)
		}
		p.happened(p.backupEvent(after, hop3.EventBackupFailed, b, "the backup %s is on this server only: %s", b.ID, hop3.MessageOf(err)))
		return b, hop3.Errorf(hop3.CodeUnavailable, "The backup %s is on this server, and has no copy at %s: %w.", b.ID, p.Backups.Target(), err).
			WithHint("It is tried again every few minutes; `hop3 backup list` says when it is there.")
	}
	say(out, "       Copied and compared in %s", took(started))
	return p.Store.UpdateBackup(after, b.ID, func(x *hop3.Backup) error {
		x.State, x.Remote = hop3.BackupCompleted, remote
		return nil
	})
}

// uploadWaiting tries again what is not off the server yet.
func (p *Platform) uploadWaiting(ctx context.Context) {
	all, err := p.Store.Backups(ctx, "")
	if err != nil {
		p.Logger.Error("reading the backups", zap.Error(err))
		return
	}
	for _, b := range all {
		if b.State != hop3.BackupUploading || ctx.Err() != nil {
			continue
		}
		if p.Backups.Target() == "" { // taken out of the settings
			_, err = p.Store.UpdateBackup(ctx, b.ID, func(x *hop3.Backup) error {
				x.State = hop3.BackupCompleted
				return nil
			})
		} else {
			_, err = p.upload(ctx, b, hop3.Discard)
		}
		if err != nil && ctx.Err() == nil {
			p.Logger.Warn("a backup is not off the server yet", zap.String("backup", b.ID), zap.Error(err))
		}
	}
}

// opened opens a backup to be restored: from this server, or brought back to
// it. All of it is compared with its checksums.
func (p *Platform) opened(ctx context.Context, b hop3.Backup, out hop3.Output) (hop3.BackupReader, error) {
	if b.State == hop3.BackupStarted || b.State == hop3.BackupFailed {
		return nil, hop3.Errorf(hop3.CodeConflict, "The backup %s is not complete: it is %s.", b.ID, strings.ToLower(string(b.State)))
	}
	r, err := p.Backups.Open(b.Dir)
	if (b.Dir == "" || hop3.CodeOf(err) == hop3.CodeNotFound) && b.Remote != "" {
		say(out, "-----> Fetching the backup from %s", b.Remote)
		dir, fetchErr := p.Backups.Fetch(ctx, b, metered(out, "Fetching", b.Size).counting())
		if fetchErr != nil {
			return nil, fetchErr
		}
		if _, err := p.Store.UpdateBackup(ctx, b.ID, func(x *hop3.Backup) error { x.Dir = dir; return nil }); err != nil {
			return nil, err
		}
		r, err = p.Backups.Open(dir)
	}
	if err != nil {
		return nil, err
	}
	if b.Sum != "" && r.Sum() != b.Sum {
		return nil, hop3.Errorf(hop3.CodeInvalid, "The metadata of the backup %s is not what was saved.", b.ID).
			WithHint("Somebody changed it. Use another backup.")
	}
	say(out, "-----> Checking the backup %s of '%s': %s in %d files", b.ID, b.App, FormatBytes(b.Size), b.Files)
	return r, checkTold(ctx, r, out)
}

// adopt takes in a backup from elsewhere; see RegisterBackup.
func (p *Platform) adopt(ctx context.Context, from string) (m hop3.BackupMetadata, dir, remote string, err error) {
	if filepath.IsAbs(from) {
		m, dir, err = p.Backups.Adopt(ctx, filepath.Clean(from))
		return m, dir, "", err
	}
	app, id, ok := strings.Cut(from, "/")
	if !ok || hop3.ValidateAppName(app) != nil || hop3.ValidateBackupID(id) != nil {
		return m, "", "", hop3.Errorf(hop3.CodeInvalid, "%.80q is neither a directory nor a backup.", from).
			WithHint("Name the directory of a backup on the server by its absolute path, or APP/ID of one at BACKUP_TARGET.")
	}
	if p.Backups.Target() == "" {
		return m, "", "", hop3.Errorf(hop3.CodeConflict, "This server has no BACKUP_TARGET to fetch a backup from.")
	}
	b := hop3.Backup{ID: id, App: app}
	if dir, err = p.Backups.Fetch(ctx, b, nil); err != nil {
		return m, "", "", err
	}
	r, err := p.Backups.Open(dir)
	if err != nil {
		return m, "", "", err
	}
	return r.Metadata(), dir, strings.TrimSuffix(p.Backups.Target(), "/") + "/" + b.Place(), nil
}
