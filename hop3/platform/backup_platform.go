package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/abilian/hop3/hop3"
)

// BackupPlatform backs up the server's own database and every app. One that
// fails does not keep the others from being backed up. The first of those it
// returns is of the database.
func (p *Platform) BackupPlatform(ctx context.Context, who Actor, out hop3.Output) ([]hop3.Backup, error) {
	if !who.Admin {
		return nil, hop3.Errorf(hop3.CodeForbidden, "Only an administrator of the server may back all of it up.")
	}
	if err := p.canBackUp(); err != nil {
		return nil, err
	}
	ctx, cancel := p.interruptible(asked(ctx, who))
	defer cancel()
	return p.backUpAll(ctx, who, hop3.BackupManual, out)
}

func (p *Platform) backUpAll(ctx context.Context, who Actor, kind hop3.BackupKind, out hop3.Output) ([]hop3.Backup, error) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	var all []hop3.Backup
	b, err := p.backUpDatabase(ctx, out)
	all = append(all, b)
	for _, app := range apps {
		if app.Preview != nil || ctx.Err() != nil {
			continue
		}
		b, e := p.CreateBackup(ctx, who, BackupRequest{App: app.Name, Kind: kind, Out: out})
		if e != nil {
			err = errors.Join(err, hop3.Errorf(hop3.CodeOf(e), "'%s': %s", app.Name, hop3.MessageOf(e)))
			continue
		}
		all = append(all, b)
	}
	return all, err
}

// backUpDatabase makes a backup of the server's own database and of its
// settings. What seals the database goes with it only when it is encrypted.
func (p *Platform) backUpDatabase(ctx context.Context, out hop3.Output) (hop3.Backup, error) {
	say(out, "-----> Backing up the server's own database")
	b := hop3.Backup{Kind: hop3.BackupPlatform, State: hop3.BackupStarted, CreatedBy: askedBy(ctx).Username}
	b, err := p.writeBackup(ctx, b, func(ctx context.Context, w hop3.BackupWriter, b hop3.Backup) (m hop3.BackupMetadata, err error) {
		m = hop3.BackupMetadata{
			ID: b.ID, CreatedAt: b.CreatedAt.Format("2006-01-02T15:04:05.000000+00:00"),
			Addons: []hop3.BackupAddon{}, Volumes: []hop3.BackupVolumeFile{}, ExtraPaths: []string{},
			AppMetadata: hop3.BackupAppMetadata{RunState: 0, Hop3: &hop3.BackupOwn{Kind: b.Kind}},
		}
		dir, err := p.Backups.Scratch(b.ID)
		if err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, p.Backups.RemoveScratch(b.ID)) }()
		if err := p.CopyDatabase(ctx, filepath.Join(dir, "db")); err != nil {
			return m, err
		}
		if err := p.saveFile(ctx, w, backupDatabase, dir, "db"); err != nil {
			return m, err
		}
		names := []string{"hop3-server.toml"}
		if w.Encrypts() {
			names = append(names, "secret-key")
		}
		for _, name := range names {
			if err := p.saveFile(ctx, w, name, p.Settings.Home, name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return m, err
			}
		}
		return m, nil
	})
	if err != nil {
		return b, err
	}
	return p.upload(ctx, b, out)
}

// saveFile puts one file of this server into a backup.
func (p *Platform) saveFile(ctx context.Context, w hop3.BackupWriter, name, dir, file string) error {
	fsys, err := p.Files.Open(dir)
	if err != nil {
		return err
	}
	f, err := fsys.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = w.File(ctx, name, func(to io.Writer) error {
		if _, err := io.Copy(to, f); err != nil {
			return fmt.Errorf("saving %s: %w", name, err)
		}
		return nil
	})
	return err
}
