package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

// IdentityUser returns the user that an OpenID provider knows by a subject, or a
// CodeNotFound error.
func (db *DB) IdentityUser(ctx context.Context, issuer, subject string) (hop3.User, error) {
	var username string
	err := db.read.QueryRowContext(ctx, "SELECT username FROM identities WHERE issuer = $1 AND subject = $2", issuer, subject).Scan(&username)
	if errors.Is(err, sql.ErrNoRows) {
		return hop3.User{}, hop3.Errorf(hop3.CodeNotFound, "Nobody here has that identity.")
	}
	if err != nil {
		return hop3.User{}, fmt.Errorf("looking up an identity: %w", err)
	}
	return db.User(ctx, username)
}

// Identities returns how OpenID providers know a user: Issuer and Subject of
// each.
func (db *DB) Identities(ctx context.Context, username string) ([]hop3.Identity, error) {
	list, err := all(ctx, db.read, func(row scanner) (i hop3.Identity, err error) {
		return i, row.Scan(&i.Issuer, &i.Subject)
	}, "SELECT issuer, subject FROM identities WHERE username = $1 ORDER BY issuer, subject", username)
	if err != nil {
		return nil, fmt.Errorf("reading the identities of %s: %w", username, err)
	}
	return list, nil
}

// LinkIdentity makes an identity that of a user. It is a CodeConflict error when
// it is somebody's.
func (db *DB) LinkIdentity(ctx context.Context, i hop3.Identity, username string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.user(ctx, tx, username); err != nil {
			return err
		}
		return linkIdentity(ctx, tx, i, username)
	}, events...)
}

// UnlinkIdentities takes a user's identities away, and returns how many there
// were.
func (db *DB) UnlinkIdentities(ctx context.Context, username string, events ...hop3.Event) (n int, err error) {
	err = db.change(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM identities WHERE username = $1", username)
		if err != nil {
			return fmt.Errorf("taking the identities of %s away: %w", username, err)
		}
		gone, err := result.RowsAffected()
		n = int(gone)
		return err
	}, events...)
	return n, err
}

// CreateIdentityUser stores a new user whom an OpenID provider knows; with
// member one like those of CreateUser, else one in no team. It is a CodeConflict
// error when the name or the identity is somebody's.
func (db *DB) CreateIdentityUser(ctx context.Context, u hop3.User, i hop3.Identity, member bool, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if err := db.createUser(ctx, tx, u); err != nil {
			return err
		}
		if !member {
			if err := setMember(ctx, tx, hop3.DefaultTeam, hop3.Member{Username: u.Username}); err != nil {
				return err
			}
		}
		return linkIdentity(ctx, tx, i, u.Username)
	}, events...)
}

func linkIdentity(ctx context.Context, tx *sql.Tx, i hop3.Identity, username string) error {
	linked, err := exec(ctx, tx, "INSERT INTO identities (issuer, subject, username, linked_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		i.Issuer, i.Subject, username, toMicros(now()))
	if err != nil {
		return fmt.Errorf("linking an identity to %s: %w", username, err)
	}
	if !linked {
		return hop3.Errorf(hop3.CodeConflict, "That identity is linked to an account already.")
	}
	return nil
}
