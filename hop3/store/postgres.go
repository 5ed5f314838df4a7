package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/abilian/hop3/hop3"
)

// The advisory locks of Hop3 in its PostgreSQL database: "hop3" and a number.
const (
	lockMigrate = 0x686f7033_0001
	lockWrite   = 0x686f7033_0002
)

// postgres is a database of a PostgreSQL server.
type postgres struct {
	config *pgx.ConnConfig
	url    string // without password
}

func parsePostgres(raw string) (location, error) {
	// Errors of the parsers quote the URL, password included: they go nowhere.
	u, err := url.Parse(raw)
	if err != nil {
		return nil, invalidURL("it cannot be parsed (special characters in a password are written %XX)")
	}
	config, err := pgx.ParseConfig(raw)
	if err != nil {
		return nil, invalidURL("PostgreSQL's driver does not understand it")
	}
	if config.Database == "" {
		return nil, invalidURL("it names no database")
	}
	shown := url.URL{Scheme: "postgresql", Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	return postgres{config: config, url: shown.String()}, nil
}

func (p postgres) dialect() goose.Dialect { return goose.DialectPostgres }

func (p postgres) open(ctx context.Context) (*DB, error) {
	db := stdlib.OpenDB(*p.config)
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(4)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(
			hop3.Errorf(hop3.CodeUnavailable, "cannot reach the database %s: %w", p.url, err), db.Close())
	}
	begin := fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", lockWrite)
	return &DB{write: db, read: db, url: p.url, begin: begin}, nil
}

// lock holds a lock of a connection of its own, which ends with it.
func (p postgres) lock(ctx context.Context, db *sql.DB) (func(), error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(lockMigrate)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return func() {
		// The context may have ended; the lock must go all the same. Should
		// that fail the connection is broken, and PostgreSQL drops the lock.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(lockMigrate))
		_ = conn.Close()
	}, nil
}
