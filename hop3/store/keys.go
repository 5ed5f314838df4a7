package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const keyColumns = `username, fingerprint, public_key, comment, created_at`

// Keys returns all keys, ordered by user and age.
func (db *DB) Keys(ctx context.Context) ([]hop3.Key, error) {
	keys, err := all(ctx, db.read, scanKey, "SELECT "+keyColumns+" FROM ssh_keys")
	if err != nil {
		return nil, fmt.Errorf("reading the keys: %w", err)
	}
	slices.SortFunc(keys, func(a, b hop3.Key) int {
		return cmp.Or(strings.Compare(a.Username, b.Username), a.CreatedAt.Compare(b.CreatedAt),
			strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	return keys, nil
}

// Key returns the key with this fingerprint, or a CodeNotFound error.
func (db *DB) Key(ctx context.Context, fingerprint string) (hop3.Key, error) {
	return key(ctx, db.read, fingerprint)
}

// AddKey stores a key of a user who exists. It returns a CodeConflict error
// naming the owner when anybody has it.
func (db *DB) AddKey(ctx context.Context, k hop3.Key, events ...hop3.Event) error {
	if k.CreatedAt.IsZero() {
		k.CreatedAt = now()
	}
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.user(ctx, tx, k.Username); err != nil {
			return err
		}
		added, err := exec(ctx, tx, `INSERT INTO ssh_keys (`+keyColumns+`)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			k.Username, k.Fingerprint, clean(k.PublicKey), clean(k.Comment), toMicros(k.CreatedAt))
		if err != nil {
			return fmt.Errorf("adding key %s: %w", k.Fingerprint, err)
		}
		if added {
			return nil
		}
		owner, err := key(ctx, tx, k.Fingerprint)
		if err != nil {
			return err
		}
		return hop3.Errorf(hop3.CodeConflict, "Key %s already belongs to user '%s'.", k.Fingerprint, owner.Username)
	}, events...)
}

// RemoveKey deletes the key with this fingerprint.
func (db *DB) RemoveKey(ctx context.Context, fingerprint string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		removed, err := exec(ctx, tx, "DELETE FROM ssh_keys WHERE fingerprint = $1", fingerprint)
		if err != nil {
			return fmt.Errorf("removing key %s: %w", fingerprint, err)
		}
		if !removed {
			return keyNotFound(fingerprint)
		}
		return nil
	}, events...)
}

func key(ctx context.Context, q querier, fingerprint string) (hop3.Key, error) {
	k, err := scanKey(q.QueryRowContext(ctx, "SELECT "+keyColumns+" FROM ssh_keys WHERE fingerprint = $1", fingerprint))
	if errors.Is(err, sql.ErrNoRows) {
		return k, keyNotFound(fingerprint)
	}
	if err != nil {
		return k, fmt.Errorf("reading key %s: %w", fingerprint, err)
	}
	return k, nil
}

func scanKey(row scanner) (hop3.Key, error) {
	var k hop3.Key
	var created int64
	err := row.Scan(&k.Username, &k.Fingerprint, &k.PublicKey, &k.Comment, &created)
	k.CreatedAt = fromMicros(created)
	return k, err
}

func keyNotFound(fingerprint string) error {
	return hop3.Errorf(hop3.CodeNotFound, "Key %s not found.", fingerprint)
}
