package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const userColumns = `username, email, password_hash, admin, active, login_count, last_login, created_at, role, second_factor, login_generation, kept_login`

// Users returns all users, ordered by name.
func (db *DB) Users(ctx context.Context) ([]hop3.User, error) {
	users, err := all(ctx, db.read, db.scanUser, "SELECT "+userColumns+" FROM users")
	if err != nil {
		return nil, fmt.Errorf("reading the users: %w", err)
	}
	slices.SortFunc(users, func(a, b hop3.User) int { return strings.Compare(a.Username, b.Username) })
	return users, nil
}

// User returns the user of this name, or a CodeNotFound error.
func (db *DB) User(ctx context.Context, username string) (hop3.User, error) {
	return db.user(ctx, db.read, username)
}

// CreateUser stores a new user, a deployer in the default team. It returns a CodeConflict error when the name
// is taken.
func (db *DB) CreateUser(ctx context.Context, u hop3.User, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error { return db.createUser(ctx, tx, u) }, events...)
}

func (db *DB) createUser(ctx context.Context, tx *sql.Tx, u hop3.User) error {
	if u.CreatedAt.IsZero() {
		u.CreatedAt = now()
	}
	factor, err := db.sealSecondFactor(u)
	if err != nil {
		return err
	}
	created, err := exec(ctx, tx, `INSERT INTO users (`+userColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`,
		u.Username, u.Email, u.PasswordHash, u.Admin, u.Active, u.LoginCount, toMicros(u.LastLogin), toMicros(u.CreatedAt), int(u.Role), factor, u.LoginGeneration, u.KeptLogin)
	if err != nil {
		return fmt.Errorf("creating user %s: %w", u.Username, err)
	}
	if !created {
		return hop3.Errorf(hop3.CodeConflict, "User '%s' already exists.", u.Username)
	}
	return setMember(ctx, tx, hop3.DefaultTeam, hop3.Member{Username: u.Username, Role: hop3.RoleDeployer})
}

// UpdateUser reads the user, lets change alter it, and writes it back in one
// transaction. An error of change is returned and nothing is written. The
// username cannot change.
func (db *DB) UpdateUser(ctx context.Context, username string, change func(*hop3.User) error, events ...hop3.Event) (hop3.User, error) {
	var u hop3.User
	err := db.change(ctx, func(tx *sql.Tx) (err error) {
		if u, err = db.user(ctx, tx, username); err != nil {
			return err
		}
		if err := change(&u); err != nil {
			return err
		}
		u.Username = username
		factor, err := db.sealSecondFactor(u)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE users SET email = $1, password_hash = $2, admin = $3, active = $4,
				login_count = $5, last_login = $6, created_at = $7, role = $8, second_factor = $9, login_generation = $10, kept_login = $11
			WHERE username = $12`,
			u.Email, u.PasswordHash, u.Admin, u.Active, u.LoginCount, toMicros(u.LastLogin), toMicros(u.CreatedAt), int(u.Role), factor,
			u.LoginGeneration, u.KeptLogin, username)
		if err != nil {
			return fmt.Errorf("updating user %s: %w", username, err)
		}
		return nil
	}, events...)
	if err != nil {
		return hop3.User{}, err
	}
	return u, nil
}

// DeleteUser deletes the user with their keys.
func (db *DB) DeleteUser(ctx context.Context, username string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		deleted, err := exec(ctx, tx, "DELETE FROM users WHERE username = $1", username)
		if err != nil {
			return fmt.Errorf("deleting user %s: %w", username, err)
		}
		if !deleted {
			return userNotFound(username)
		}
		return nil
	}, events...)
}

func (db *DB) user(ctx context.Context, q querier, username string) (hop3.User, error) {
	u, err := db.scanUser(q.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE username = $1", username))
	if errors.Is(err, sql.ErrNoRows) {
		return u, userNotFound(username)
	}
	if err != nil {
		return u, fmt.Errorf("reading user %s: %w", username, err)
	}
	return u, nil
}

func (db *DB) scanUser(row scanner) (hop3.User, error) {
	var u hop3.User
	var factor string
	var login, created int64
	err := row.Scan(&u.Username, &u.Email, &u.PasswordHash, &u.Admin, &u.Active, &u.LoginCount, &login, &created, &u.Role, &factor,
		&u.LoginGeneration, &u.KeptLogin)
	if err != nil {
		return hop3.User{}, err
	}
	u.LastLogin, u.CreatedAt = fromMicros(login), fromMicros(created)
	return u, db.openSecondFactor(&u, factor)
}

// sealSecondFactor returns what is kept of a user's second factor.
func (db *DB) sealSecondFactor(u hop3.User) (string, error) {
	if u.SecondFactor == nil {
		return "", nil
	}
	text, err := json.Marshal(u.SecondFactor)
	return db.seal.seal(factorPlace(u.Username), string(text)), err
}

func (db *DB) openSecondFactor(u *hop3.User, value string) error {
	if value == "" {
		return nil
	}
	text, err := db.seal.open(factorPlace(u.Username), value)
	if err == nil {
		err = json.Unmarshal([]byte(text), &u.SecondFactor)
	}
	if err != nil {
		return fmt.Errorf("reading the second factor of %s: %w", u.Username, err)
	}
	return nil
}

func factorPlace(username string) string { return "user/" + username + "/second factor" }

func userNotFound(username string) error {
	return hop3.Errorf(hop3.CodeNotFound, "User '%s' not found.", username)
}
