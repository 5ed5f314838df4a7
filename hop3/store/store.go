// Package store is the truth: apps, releases, hosts, users, keys and revoked
// tokens in SQLite or PostgreSQL, behind the interface platform.Store.
//
// Both databases run the same statements and pass the same suite,
// hop3test.Store. One transaction writes at a time: what two callers change at
// once is decided by order, never by a deadlock or a retry.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/hop3"
)

// DB is an open database. It is safe for concurrent use, also by several
// processes at once.
type DB struct {
	write *sql.DB
	read  *sql.DB // the same as write with PostgreSQL
	url   string  // without password, for messages
	// begin is run first in every transaction that writes, where the
	// engine itself lets more than one in.
	begin string
	seal  sealer
	// eventKey is of the events' hashes, appended wakes who waits for one.
	eventKey []byte
	appended signal
	known    knownApps
}

// Option changes what Open does.
type Option func(*options)

type options struct {
	secret []byte
}

// WithSecret seals the variables of apps and releases with a key derived from
// secret. A database that was once opened with a secret opens with no other.
func WithSecret(secret []byte) Option {
	return func(o *options) { o.secret = secret }
}

// Open opens the database at url and brings its schema up to date. An empty
// url means SQLite in <home>/hop3.db. A url that names no database is a
// CodeInvalid error, and so are a database made by a newer Hop3 and a wrong
// secret; one that cannot be reached is CodeUnavailable. No error contains the
// password of url.
func Open(ctx context.Context, url, home string, opts ...Option) (*DB, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	where, err := parseURL(url, home)
	if err != nil {
		return nil, err
	}
	db, err := where.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := db.prepare(ctx, where, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepare migrates the schema and checks the secret.
func (db *DB) prepare(ctx context.Context, where location, o options) error {
	unlock, err := where.lock(ctx, db.write)
	if err != nil {
		return fmt.Errorf("locking %s for its migrations: %w", db.url, err)
	}
	defer unlock()
	if err := db.migrate(ctx, where.dialect()); err != nil {
		return err
	}
	if db.seal, err = newSealer(o.secret); err != nil {
		return fmt.Errorf("deriving the key of the database: %w", err)
	}
	if db.eventKey, err = newEventKey(o.secret); err != nil {
		return fmt.Errorf("deriving the key of the events: %w", err)
	}
	return db.checkSecret(ctx)
}

// Close closes the database once its running statements have ended.
func (db *DB) Close() error {
	err := db.write.Close()
	if db.read != db.write {
		err = errors.Join(db.read.Close(), err)
	}
	return err
}

// Ping reports a CodeUnavailable error unless the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "the database %s does not answer: %w", db.url, err)
	}
	return nil
}

// change runs f in a transaction that is the only one writing, stores the
// events of what it did, and commits unless f returns an error. f must not call
// another method of db.
func (db *DB) change(ctx context.Context, f func(tx *sql.Tx) error, events ...hop3.Event) (err error) {
	defer func() {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", syscall.ENOSPC, err)
		}
	}()
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	// After Commit it does nothing; otherwise the error that led here says more.
	defer func() { _ = tx.Rollback() }()
	if db.begin != "" {
		if _, err := tx.ExecContext(ctx, db.begin); err != nil {
			return fmt.Errorf("waiting for the turn to write: %w", err)
		}
	}
	if err := f(tx); err != nil {
		return err
	}
	if err := db.append(ctx, tx, events); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing a transaction: %w", err)
	}
	if len(events) > 0 {
		db.appended.wake()
	}
	return nil
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is what *sql.Row and *sql.Rows have in common.
type scanner interface{ Scan(dest ...any) error }

// all reads every row of a query.
func all[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// exec runs a statement and reports whether it touched a row.
func exec(ctx context.Context, tx *sql.Tx, query string, args ...any) (bool, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// now is the time as the database keeps it.
func now() time.Time { return fromMicros(time.Now().UnixMicro()) }

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// clean drops what PostgreSQL cannot keep as text. Messages and comments may
// quote bytes of a hostile source.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
