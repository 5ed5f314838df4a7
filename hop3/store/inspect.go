package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"

	"github.com/abilian/hop3/hop3"
)

// Status is the state of a database.
type Status struct {
	URL     string // without password
	Exists  bool   // false: none of what follows is known
	Schema  int64  // 0: nothing was made in it yet
	Newest  int64  // the schema that this program knows
	Size    int64  // bytes
	Trouble string // what the engine's own check found, "" for nothing
}

// Inspect describes a database and changes nothing, neither making nor
// migrating it. Its errors are those of Open.
func Inspect(ctx context.Context, url, home string) (s Status, err error) {
	where, err := parseURL(url, home)
	if err != nil {
		return s, err
	}
	s.URL = where.shown()
	if file, ok := where.(sqlite); ok {
		if _, err := os.Stat(file.path); errors.Is(err, fs.ErrNotExist) {
			s.Newest, err = newestSchema()
			return s, err
		}
	}
	db, err := where.open(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s.Exists = true
	if s.Newest, err = newestSchema(); err != nil {
		return s, err
	}
	if s.Schema, err = db.Version(ctx); err != nil {
		s.Schema = 0 // the table of versions is the first that is made
	}
	s.Size, s.Trouble, err = where.examine(ctx, db.read)
	return s, err
}

// newestSchema returns the number of the newest migration.
func newestSchema() (int64, error) {
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return 0, fmt.Errorf("reading the migrations: %w", err)
	}
	var newest int64
	for _, f := range files {
		version, err := goose.NumericComponent(f.Name())
		if err != nil {
			return 0, fmt.Errorf("reading the migrations: %w", err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// Backup writes a copy of a database, as it is at one moment, to a new file
// that only its owner may read: SQLite's own file, or what pg_restore reads.
// The server may go on meanwhile. When it fails there is no file.
func Backup(ctx context.Context, url, home, file string) (err error) {
	where, err := parseURL(url, home)
	if err != nil {
		return err
	}
	if s, err := Inspect(ctx, url, home); err != nil {
		return err
	} else if !s.Exists || s.Schema == 0 {
		return hop3.Errorf(hop3.CodeNotFound, "there is no database at %s yet", s.URL)
	}
	made, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return hop3.Errorf(hop3.CodeConflict, "%s exists; a backup overwrites nothing", file)
	}
	if err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "writing the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file))
		}
	}()
	if err := errors.Join(where.copy(ctx, made), made.Sync(), made.Close()); err != nil {
		return fmt.Errorf("copying %s: %w", where.shown(), err)
	}
	return nil
}

// examine asks SQLite whether its file is sound.
func (s sqlite) examine(ctx context.Context, db *sql.DB) (size int64, trouble string, err error) {
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&trouble); err != nil {
		return 0, "", fmt.Errorf("checking %s: %w", s.path, err)
	}
	if trouble == "ok" {
		trouble = ""
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return 0, "", err
	}
	return info.Size(), trouble, nil
}

// copy has SQLite write a copy into the file, which is empty.
func (s sqlite) copy(ctx context.Context, to *os.File) (err error) {
	db, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.read.ExecContext(ctx, "VACUUM INTO ?", to.Name()); err != nil {
		return err
	}
	copied, err := sql.Open("sqlite3", sqlite{path: to.Name()}.dsn("ro", nil))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	_, trouble, err := s.examine(ctx, copied)
	if err == nil && trouble != "" {
		err = fmt.Errorf("the copy is damaged: %s", trouble)
	}
	return err
}

func (s sqlite) shown() string { return "sqlite://" + s.path }
