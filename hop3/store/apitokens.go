package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

const apiTokenColumns = `id, username, name, scope, created_at, expires, last_used`

// APITokens returns the tokens of a user, ordered by name.
func (db *DB) APITokens(ctx context.Context, username string) ([]hop3.APIToken, error) {
	tokens, err := all(ctx, db.read, scanAPIToken, "SELECT "+apiTokenColumns+" FROM api_tokens WHERE username = $1", username)
	if err != nil {
		return nil, fmt.Errorf("reading the tokens of %s: %w", username, err)
	}
	slices.SortFunc(tokens, func(a, b hop3.APIToken) int { return strings.Compare(a.Name, b.Name) })
	return tokens, nil
}

// APIToken returns the token with this id, or a CodeNotFound error.
func (db *DB) APIToken(ctx context.Context, id string) (hop3.APIToken, error) {
	t, err := scanAPIToken(db.read.QueryRowContext(ctx, "SELECT "+apiTokenColumns+" FROM api_tokens WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, hop3.Errorf(hop3.CodeNotFound, "There is no such token.")
	}
	if err != nil {
		return t, fmt.Errorf("reading a token: %w", err)
	}
	return t, nil
}

// AddAPIToken stores a token of a user who exists. It returns a CodeConflict
// error when they have one of this name.
func (db *DB) AddAPIToken(ctx context.Context, t hop3.APIToken, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.user(ctx, tx, t.Username); err != nil {
			return err
		}
		added, err := exec(ctx, tx, `INSERT INTO api_tokens (`+apiTokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT DO NOTHING`,
			t.ID, t.Username, t.Name, strings.Join(t.Scope.Words(), " "), toMicros(t.CreatedAt), toMicros(t.Expires))
		if err != nil {
			return fmt.Errorf("adding a token of %s: %w", t.Username, err)
		}
		if !added {
			return hop3.Errorf(hop3.CodeConflict, "There is a token '%s' already.", t.Name)
		}
		return nil
	}, events...)
}

// RemoveAPIToken forgets a user's token, which ends it.
func (db *DB) RemoveAPIToken(ctx context.Context, username, name string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		removed, err := exec(ctx, tx, "DELETE FROM api_tokens WHERE username = $1 AND name = $2", username, name)
		if err != nil {
			return fmt.Errorf("revoking a token of %s: %w", username, err)
		}
		if !removed {
			return hop3.Errorf(hop3.CodeNotFound, "There is no token '%s'.", name)
		}
		return nil
	}, events...)
}

// TokenUsed remembers when a token was used last. One that is gone is no error.
func (db *DB) TokenUsed(ctx context.Context, id string, at time.Time) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE api_tokens SET last_used = $1 WHERE id = $2 AND last_used < $1", toMicros(at), id); err != nil {
			return fmt.Errorf("noting the use of a token: %w", err)
		}
		return nil
	})
}

func scanAPIToken(row scanner) (hop3.APIToken, error) {
	var t hop3.APIToken
	var scope string
	var created, expires, used int64
	if err := row.Scan(&t.ID, &t.Username, &t.Name, &scope, &created, &expires, &used); err != nil {
		return t, err
	}
	t.CreatedAt, t.Expires, t.LastUsed = fromMicros(created), fromMicros(expires), fromMicros(used)
	var err error
	t.Scope, err = hop3.ParseScope(strings.Fields(scope))
	return t, err
}
