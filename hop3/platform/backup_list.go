package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// backupRole returns what an actor may do with a backup: with one of an app
// that there still is, what they may do with the app; else what they may do
// with all that its team has. One of the server itself is its administrators'.
func (p *Platform) backupRole(ctx context.Context, who Actor, b hop3.Backup) (hop3.Role, error) {
	rights, err := p.rights(ctx, who)
	if err != nil {
		return hop3.RoleNone, err
	}
	if b.App == "" {
		if who.Admin {
			return hop3.RoleAdmin, nil
		}
		return hop3.RoleNone, nil
	}
	app, err := p.Store.App(ctx, b.App)
	switch {
	case err == nil && app.CreatedAt.Equal(b.AppCreatedAt):
		return roleOn(who, rights, app), nil
	case err != nil && hop3.CodeOf(err) != hop3.CodeNotFound:
		return hop3.RoleNone, err
	}
	// Who was granted something on an app of this name that was made later has
	// nothing to do with what was saved of the one before.
	rights.Apps = nil
	return roleOn(who, rights, hop3.App{Name: b.App, Team: b.Team}), nil
}

// backup returns a backup, by its ID, with which the actor may do this. To who
// may not see it, it does not exist.
func (p *Platform) backup(ctx context.Context, who Actor, id string, need hop3.Role) (hop3.Backup, error) {
	if err := errors.Join(p.canBackUp(), hop3.ValidateBackupID(id)); err != nil {
		return hop3.Backup{}, err
	}
	b, err := p.Store.Backup(ctx, id)
	if err != nil {
		return b, err
	}
	role, err := p.backupRole(ctx, who, b)
	switch {
	case err != nil:
		return hop3.Backup{}, err
	case role == hop3.RoleNone:
		return hop3.Backup{}, hop3.Errorf(hop3.CodeNotFound, "Backup %.40q not found.", id).WithHint("`hop3 backup list` shows those there are.")
	case role < need:
		return hop3.Backup{}, hop3.Errorf(hop3.CodeForbidden, "This takes the role %s on '%s', and yours is %s.", need, b.App, role)
	}
	return b, nil
}

// BackupList returns the backups that the actor may see, of one app when app is
// not "", newest first, at most limit; 0 for all.
func (p *Platform) BackupList(ctx context.Context, who Actor, app string, limit int) ([]hop3.Backup, error) {
	if app != "" {
		if err := p.may(ctx, who, app, hop3.RoleViewer); err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
			return nil, err
		} else if err != nil {
			// The app may be gone, and its backups not.
			all, listErr := p.visibleBackups(ctx, who, app)
			if listErr != nil || len(all) == 0 {
				return nil, errors.Join(listErr, err)
			}
		}
	}
	all, err := p.visibleBackups(ctx, who, app)
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all, err
}

func (p *Platform) visibleBackups(ctx context.Context, who Actor, app string) ([]hop3.Backup, error) {
	all, err := p.Store.Backups(ctx, app)
	if err != nil {
		return nil, err
	}
	roles := map[string]hop3.Role{} // by app and who had it
	var seen []hop3.Backup
	for _, b := range all {
		key := fmt.Sprintf("%s %s %d", b.App, b.Team, b.AppCreatedAt.UnixMicro())
		role, known := roles[key]
		if !known {
			if role, err = p.backupRole(ctx, who, b); err != nil {
				return nil, err
			}
			roles[key] = role
		}
		if role > hop3.RoleNone {
			seen = append(seen, b)
		}
	}
	return seen, nil
}

// BackupDetails returns a backup and, where its files can be read, what they
// say of it. trouble is what is wrong with them: they are all read.
func (p *Platform) BackupDetails(ctx context.Context, who Actor, id string) (b hop3.Backup, m hop3.BackupMetadata, trouble error, err error) {
	if b, err = p.backup(ctx, who, id, hop3.RoleViewer); err != nil {
		return b, m, nil, err
	}
	if b.Dir == "" {
		return b, m, nil, nil
	}
	r, trouble := p.Backups.Open(b.Dir)
	if trouble != nil {
		return b, m, trouble, nil
	}
	if b.Sum != "" && r.Sum() != b.Sum {
		return b, r.Metadata(), hop3.Errorf(hop3.CodeInvalid, "The metadata of the backup %s is not what was saved.", b.ID), nil
	}
	return b, r.Metadata(), r.Check(ctx), nil
}

// FindBackup returns the ID of the newest complete backup that has this label;
// what is an ID already is returned as it is. Where backups of several apps
// have the label, that is a CodeInvalid error: none of them is meant more.
func (p *Platform) FindBackup(ctx context.Context, who Actor, text string) (string, error) {
	if hop3.ValidateBackupID(text) == nil {
		return text, nil
	}
	all, err := p.visibleBackups(ctx, who, "")
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(b hop3.Backup) bool { return b.Label != text || b.State == hop3.BackupFailed })
	if len(all) == 0 || text == "" {
		return "", hop3.Errorf(hop3.CodeNotFound, "There is no backup with the ID or label %.80q.", text).WithHint("`hop3 backup list` shows those there are.")
	}
	for _, b := range all {
		if b.App != all[0].App {
			return "", hop3.Errorf(hop3.CodeInvalid, "Backups of '%s' and of '%s' have the label %.80q.", all[0].App, b.App, text).WithHint("Say which by its ID: `hop3 backup list` shows them.")
		}
	}
	return all[0].ID, nil
}

// DestroyBackup destroys a backup with all its copies.
func (p *Platform) DestroyBackup(ctx context.Context, who Actor, id string) error {
	b, err := p.backup(ctx, who, id, hop3.RoleAdmin)
	if err != nil {
		return err
	}
	if b.State == hop3.BackupStarted {
		return hop3.Errorf(hop3.CodeConflict, "The backup %s is being made.", id)
	}
	return p.destroyBackup(asked(ctx, who), b, "")
}

// destroyBackup is DestroyBackup for who was asked, or has a reason. The row is
// the last to go: what failed half is tried again.
func (p *Platform) destroyBackup(ctx context.Context, b hop3.Backup, why string) error {
	unlock, err := p.backupLocks.acquire(ctx, b.ID, false, nil)
	if err != nil {
		return err
	}
	defer unlock()
	if b.Remote != "" || b.State == hop3.BackupUploading {
		if err := p.Backups.RemoveRemote(ctx, b); err != nil {
			return fmt.Errorf("removing the copy off the server: %w", err)
		}
	}
	if err := p.Backups.Remove(b); err != nil {
		return err
	}
	message := "the backup " + b.ID + " was destroyed"
	if why != "" {
		message += ": " + why
	}
	return p.Store.DeleteBackup(context.WithoutCancel(ctx), b.ID, p.backupEvent(ctx, hop3.EventBackupDestroyed, b, "%s", message))
}

// RegisterBackup takes in a backup that lies in a directory of this server, or,
// with from "app/ID", at the target off the server. All its files are checked
// first. It is the app's of this name, if the actor may deploy to it, and
// otherwise belongs to the team that an app of theirs would.
func (p *Platform) RegisterBackup(ctx context.Context, who Actor, from string) (hop3.Backup, error) {
	if err := p.canBackUp(); err != nil {
		return hop3.Backup{}, err
	}
	if !who.Admin {
		return hop3.Backup{}, hop3.Errorf(hop3.CodeForbidden, "Only an administrator of the server may register a backup.").
			WithHint("It is read from any directory of the server.")
	}
	m, dir, remote, err := p.adopt(ctx, from)
	if err != nil {
		return hop3.Backup{}, err
	}
	r, err := p.Backups.Open(dir)
	if err != nil {
		return hop3.Backup{}, err
	}
	own := m.Own()
	b := hop3.Backup{
		ID: m.ID, App: m.App, Kind: hop3.BackupRegistered, State: hop3.BackupCompleted, Label: own.Label, Dir: dir, Remote: remote,
		Size: sizeOf(m), Files: len(m.Checksums), Sum: r.Sum(), Release: own.Release, Commit: own.Commit, Addons: m.AddonIDs(),
		Encrypted: own.Encryption != "", CreatedBy: who.Username, Team: hop3.DefaultTeam, CreatedAt: hop3.BackupTimeOf(m.ID), EndedAt: p.now().UTC(),
	}
	if hop3.ValidateBackupLabel(b.Label) != nil {
		b.Label = ""
	}
	app, err := p.Store.App(ctx, b.App)
	if err == nil {
		b.Team, b.AppCreatedAt = app.Team, app.CreatedAt
	} else if hop3.CodeOf(err) != hop3.CodeNotFound {
		return b, err
	}
	err = p.Store.NewBackup(ctx, b, p.backupEvent(asked(ctx, who), hop3.EventBackupCreated, b, "the backup %s was registered", b.ID))
	if err != nil && hop3.CodeOf(err) != hop3.CodeConflict {
		// Without a row nobody finds it again.
		if removeErr := p.Backups.Remove(b); removeErr != nil {
			p.Logger.Error("removing a backup that could not be registered", zap.Error(removeErr))
		}
	}
	return b, err
}
