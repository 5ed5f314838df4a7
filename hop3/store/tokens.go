package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/abilian/hop3/hop3"
)

// RevokeToken remembers a token's id until it would have expired anyway, and
// forgets those that have. Revoking one twice is no error.
func (db *DB) RevokeToken(ctx context.Context, id string, expires time.Time, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		// An hour later: clocks differ.
		old := now().Add(-time.Hour)
		if _, err := tx.ExecContext(ctx, "DELETE FROM revoked_tokens WHERE expires < $1", toMicros(old)); err != nil {
			return fmt.Errorf("forgetting expired tokens: %w", err)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO revoked_tokens (id, expires) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET expires = excluded.expires
			WHERE excluded.expires > revoked_tokens.expires`, id, toMicros(expires))
		if err != nil {
			return fmt.Errorf("revoking a token: %w", err)
		}
		return nil
	}, events...)
}

// UseToken remembers a token's id like RevokeToken, and reports whether nobody
// did so before.
func (db *DB) UseToken(ctx context.Context, id string, expires time.Time) (first bool, err error) {
	err = db.change(ctx, func(tx *sql.Tx) error {
		first, err = exec(ctx, tx, "INSERT INTO revoked_tokens (id, expires) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", id, toMicros(expires))
		if err != nil {
			return fmt.Errorf("using a token: %w", err)
		}
		return nil
	})
	return first && err == nil, err
}

// TokenRevoked reports whether the token of this id was revoked.
func (db *DB) TokenRevoked(ctx context.Context, id string) (bool, error) {
	var revoked bool
	err := db.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM revoked_tokens WHERE id = $1)", id).Scan(&revoked)
	if err != nil {
		return false, fmt.Errorf("looking up a token: %w", err)
	}
	return revoked, nil
}
