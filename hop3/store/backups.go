package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

// NewBackup stores a backup. It returns a CodeConflict error when there is one
// of this ID.
func (db *DB) NewBackup(ctx context.Context, b hop3.Backup, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		spec, err := backupSpec(b)
		if err != nil {
			return err
		}
		added, err := exec(ctx, tx, "INSERT INTO backups (id, app, state, created_at, spec) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
			b.ID, b.App, string(b.State), toMicros(b.CreatedAt), spec)
		if err == nil && !added {
			return hop3.Errorf(hop3.CodeConflict, "There is a backup %s already.", b.ID)
		}
		if err != nil {
			return fmt.Errorf("storing backup %s: %w", b.ID, err)
		}
		return nil
	}, events...)
}

// UpdateBackup reads a backup, lets change alter it, and writes it back in one
// transaction. An error of change is returned and nothing is written. ID, App
// and CreatedAt cannot change.
func (db *DB) UpdateBackup(ctx context.Context, id string, change func(*hop3.Backup) error, events ...hop3.Event) (hop3.Backup, error) {
	var b hop3.Backup
	err := db.change(ctx, func(tx *sql.Tx) (err error) {
		if b, err = db.backup(ctx, tx, id); err != nil {
			return err
		}
		before := b
		if err := change(&b); err != nil {
			return err
		}
		b.ID, b.App, b.CreatedAt = before.ID, before.App, before.CreatedAt
		spec, err := backupSpec(b)
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE backups SET state = $1, spec = $2 WHERE id = $3", string(b.State), spec, id)
		}
		if err != nil {
			return fmt.Errorf("updating backup %s: %w", id, err)
		}
		return nil
	}, events...)
	if err != nil {
		return hop3.Backup{}, err
	}
	return b, nil
}

// Backup returns the backup of this ID.
func (db *DB) Backup(ctx context.Context, id string) (hop3.Backup, error) {
	return db.backup(ctx, db.read, id)
}

func (db *DB) backup(ctx context.Context, q querier, id string) (hop3.Backup, error) {
	b, err := scanBackup(q.QueryRowContext(ctx, "SELECT id, app, spec FROM backups WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return b, hop3.Errorf(hop3.CodeNotFound, "Backup %.40q not found.", id).WithHint("`hop3 backup list` shows those there are.")
	}
	if err != nil {
		return b, fmt.Errorf("reading backup %.40q: %w", id, err)
	}
	return b, nil
}

// Backups returns the backups of an app, or of all that have one and the
// server's own when app is "", the newest first.
func (db *DB) Backups(ctx context.Context, app string) ([]hop3.Backup, error) {
	found, err := all(ctx, db.read, func(row scanner) (hop3.Backup, error) { return scanBackup(row) },
		"SELECT id, app, spec FROM backups WHERE app = $1 OR $1 = '' ORDER BY created_at DESC, id DESC", app)
	if err != nil {
		return nil, fmt.Errorf("reading the backups: %w", err)
	}
	return found, nil
}

// DeleteBackup forgets a backup; none is no error.
func (db *DB) DeleteBackup(ctx context.Context, id string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM backups WHERE id = $1", id); err != nil {
			return fmt.Errorf("forgetting backup %s: %w", id, err)
		}
		return nil
	}, events...)
}

func backupSpec(b hop3.Backup) (string, error) {
	b.Label, b.Error, b.Proof = clean(b.Label), clean(b.Error), clean(b.Proof)
	text, err := json.Marshal(b)
	return string(text), err
}

func scanBackup(row scanner) (b hop3.Backup, err error) {
	var id, app, spec string
	if err := row.Scan(&id, &app, &spec); err != nil {
		return b, err
	}
	err = json.Unmarshal([]byte(spec), &b)
	b.ID, b.App = id, app
	return b, err
}

func restorePlace(target string) string { return "restore/" + target }

// SaveRestore remembers a restore that is under way, in place of an earlier
// one into the same app.
func (db *DB) SaveRestore(ctx context.Context, r hop3.BackupRestore) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return db.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO restores (target, spec) VALUES ($1, $2) ON CONFLICT (target) DO UPDATE SET spec = excluded.spec",
			r.Target, db.seal.seal(restorePlace(r.Target), string(text)))
		if err != nil {
			return fmt.Errorf("remembering the restore into %s: %w", r.Target, err)
		}
		return nil
	})
}

// Restores returns the restores that are under way, ordered by target.
func (db *DB) Restores(ctx context.Context) ([]hop3.BackupRestore, error) {
	found, err := all(ctx, db.read, func(row scanner) (r hop3.BackupRestore, err error) {
		var target, spec string
		if err := row.Scan(&target, &spec); err != nil {
			return r, err
		}
		text, err := db.seal.open(restorePlace(target), spec)
		if err == nil {
			err = json.Unmarshal([]byte(text), &r)
		}
		return r, err
	}, "SELECT target, spec FROM restores ORDER BY target")
	if err != nil {
		return nil, fmt.Errorf("reading the restores: %w", err)
	}
	return found, nil
}

// EndRestore forgets a restore; none is no error.
func (db *DB) EndRestore(ctx context.Context, target string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM restores WHERE target = $1", target); err != nil {
			return fmt.Errorf("forgetting the restore into %s: %w", target, err)
		}
		return nil
	}, events...)
}
