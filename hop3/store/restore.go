package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Restore makes of a file that Backup wrote the database at url, which no
// server may be using. The file is opened, brought up to date and tried with
// the secret of opts first. Of a database of SQLite that is there already aside
// is where it lies afterwards, "" for none; one of PostgreSQL must be empty,
// else it is a CodeConflict error. Until the end, and when it fails, the
// database is what it was, but for one of PostgreSQL and a wrong secret.
func Restore(ctx context.Context, url, home, file string, opts ...Option) (aside string, err error) {
	where, err := parseURL(url, home)
	if err != nil {
		return "", err
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return where.restore(ctx, file, o)
}

// sqliteMagic is what every file of SQLite begins with.
const sqliteMagic = "SQLite format 3\x00"

// besides are the files that SQLite keeps beside a database.
var besides = []string{"-wal", "-shm", "-journal"}

func (s sqlite) restore(ctx context.Context, file string, o options) (aside string, err error) {
	next := sqlite{path: s.path + ".restoring"}
	defer func() { err = errors.Join(err, next.remove()) }()
	if err := errors.Join(next.remove(), next.fill(file)); err != nil {
		return "", err
	}
	db, err := next.open(ctx)
	if err != nil {
		return "", err
	}
	_, trouble, err := next.examine(ctx, db.read)
	if err == nil && trouble != "" {
		err = hop3.Errorf(hop3.CodeInvalid, "the copy of the database is damaged: %s", trouble)
	}
	if err == nil {
		err = db.prepare(ctx, next, o)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return "", fmt.Errorf("trying the copy: %w", err)
	}
	if err := next.fold(ctx); err != nil {
		return "", fmt.Errorf("completing the copy: %w", err)
	}
	if aside, err = s.setAside(ctx); err != nil {
		return "", err
	}
	if err := os.Rename(next.path, s.path); err != nil {
		return aside, err
	}
	return aside, syncDir(filepath.Dir(s.path))
}

// fill copies a file of SQLite.
func (s sqlite) fill(file string) (err error) {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	begin := make([]byte, len(sqliteMagic))
	if _, err := io.ReadFull(in, begin); err != nil || string(begin) != sqliteMagic {
		return hop3.Errorf(hop3.CodeInvalid, "%s is no database of SQLite", file).
			WithHint("A dump of PostgreSQL is restored where HOP3_DATABASE_URL names an empty database of PostgreSQL.")
	}
	out, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.MultiReader(strings.NewReader(sqliteMagic), in))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("copying the database: %w", err)
	}
	return nil
}

// fold brings into the file what lies in the journal beside it. Nobody else has
// it open.
func (s sqlite) fold(ctx context.Context) error {
	db, err := sql.Open("sqlite3", s.dsn("rw", nil))
	if err != nil {
		return err
	}
	// A journal of another mode is only begun once this one is done with.
	_, err = db.ExecContext(ctx, "PRAGMA journal_mode = DELETE")
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// setAside gives what there is of a database a second name, and leaves the file
// alone under its own. One that is damaged is kept as it is.
func (s sqlite) setAside(ctx context.Context) (string, error) {
	if _, err := os.Lstat(s.path); errors.Is(err, fs.ErrNotExist) {
		return "", s.removeBesides()
	} else if err != nil {
		return "", err
	}
	_ = s.fold(ctx) // a damaged one has its journal kept beside it
	aside := s.path + ".before-" + time.Now().UTC().Format("20060102T150405.000000")
	for _, suffix := range append([]string{""}, besides...) {
		if err := os.Link(s.path+suffix, aside+suffix); err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return "", fmt.Errorf("keeping the database that is there: %w", err)
		}
	}
	if err := syncDir(filepath.Dir(s.path)); err != nil {
		return "", err
	}
	return aside, s.removeBesides()
}

func (s sqlite) remove() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.removeBesides())
}

func (s sqlite) removeBesides() (err error) {
	for _, suffix := range besides {
		if e := os.Remove(s.path + suffix); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// restore runs pg_restore, in one transaction.
func (p postgres) restore(ctx context.Context, file string, o options) (aside string, err error) {
	db, err := p.open(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	err = db.read.QueryRowContext(ctx, "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')").Scan(&tables)
	if err != nil {
		return "", fmt.Errorf("looking into %s: %w", p.url, err)
	}
	if tables > 0 {
		return "", hop3.Errorf(hop3.CodeConflict, "the database %s is not empty", p.url).
			WithHint("Make a new, empty one and name it in HOP3_DATABASE_URL: the old one stays as it is.")
	}
	// A name alone would be read as a list of settings where it has a "=" in it.
	name := "dbname='" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(p.config.Database) + "'"
	cmd, complaint, err := p.program(ctx, "pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", "--no-password", "--dbname", name, "--", file)
	if err != nil {
		return "", err
	}
	if err := cmd.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("pg_restore: %s", strings.TrimSpace(complaint.String())), err)
	}
	return "", db.prepare(ctx, p, o)
}
