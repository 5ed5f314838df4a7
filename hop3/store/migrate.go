package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/abilian/hop3/hop3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. The caller holds the migration lock.
func (db *DB) migrate(ctx context.Context, dialect goose.Dialect) error {
	provider, err := db.provider(dialect)
	if err != nil {
		return err
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading the schema version of %s: %w", db.url, err)
	}
	if current > newest {
		return hop3.Errorf(hop3.CodeInvalid,
			"the database %s was made by a newer Hop3: it has schema %d, this Hop3 knows %d", db.url, current, newest).
			WithHint("Install that Hop3 again, or restore a backup made before the upgrade.")
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating %s: %w", db.url, err)
	}
	return nil
}

func (db *DB) provider(dialect goose.Dialect) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db.write, files,
		goose.WithTableName("hop3_schema"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return provider, nil
}

// Version returns the version of the schema.
func (db *DB) Version(ctx context.Context) (int64, error) {
	var v int64
	err := db.read.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM hop3_schema").Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	return v, nil
}
