package caddymodules

import (
	"cmp"
	"context"
	"path/filepath"

	"github.com/abilian/hop3/hop3/backup"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/store"
)

// openBackups returns the backups that a configuration asks for. It reaches
// nothing.
func openBackups(c *serverconfig.Config) (*backup.Store, error) {
	b := c.Backups
	target, err := backup.ParseTarget(b.Target, backup.S3Options(b.S3), backup.SFTPOptions(b.SFTP))
	if err != nil {
		return nil, err
	}
	return backup.Open(backup.Options{
		Dir: cmp.Or(b.Dir, filepath.Join(c.Home, "backups")), Version: Version, Recipients: b.Age, Identity: b.Identity, Target: target,
	})
}

// copyDatabase writes a copy of the server's own database to a new file.
func (c *core) copyDatabase(ctx context.Context, file string) error {
	return store.Backup(ctx, c.config.DatabaseURL, c.config.Home, file)
}
