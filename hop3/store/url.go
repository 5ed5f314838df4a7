package store

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/abilian/hop3/hop3"
)

// location is where a database is, and how its engine is to be used.
type location interface {
	open(ctx context.Context) (*DB, error)
	dialect() goose.Dialect
	// lock waits until no other process migrates the database.
	lock(ctx context.Context, db *sql.DB) (unlock func(), err error)
	shown() string // its URL, without password
	// examine returns the size in bytes, and what the engine finds wrong.
	examine(ctx context.Context, db *sql.DB) (size int64, trouble string, err error)
	// copy writes what the database has at one moment to an empty file.
	copy(ctx context.Context, to *os.File) error
	// restore is Restore.
	restore(ctx context.Context, file string, o options) (aside string, err error)
}

const urlHint = "Use sqlite:///path/to/file.db or postgresql://user:password@host/database."

// parseURL understands the URLs of Go and those of SQLAlchemy, whose scheme
// names a driver too.
func parseURL(raw, home string) (location, error) {
	if raw == "" {
		return sqlite{path: filepath.Join(home, "hop3.db")}, nil
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, invalidURL("it has no scheme")
	}
	engine, _, _ := strings.Cut(strings.ToLower(scheme), "+")
	switch engine {
	case "sqlite":
		return parseSQLite(rest, home)
	case "postgres", "postgresql":
		return parsePostgres("postgres://" + rest)
	default:
		return nil, invalidURL("its scheme is neither sqlite nor postgresql")
	}
}

// parseSQLite takes what follows sqlite://. Everything that begins with a
// slash is an absolute path, also the one of SQLAlchemy's four slashes; other
// paths are relative to the home.
func parseSQLite(rest, home string) (location, error) {
	file, query, _ := strings.Cut(rest, "?")
	if query != "" {
		return nil, invalidURL("a sqlite URL has no parameters")
	}
	file, err := url.PathUnescape(file)
	if err != nil || strings.ContainsRune(file, 0) {
		return nil, invalidURL("its path is badly escaped")
	}
	if file == "" || strings.HasSuffix(file, "/") || strings.Contains(file, ":memory:") {
		return nil, invalidURL("it names no file")
	}
	file = path.Clean(file)
	if !filepath.IsAbs(file) {
		file = filepath.Join(home, file)
	}
	return sqlite{path: file}, nil
}

// invalidURL does not quote the URL: it may contain a password.
func invalidURL(why string) error {
	return hop3.Errorf(hop3.CodeInvalid, "HOP3_DATABASE_URL is not the URL of a database: %s", why).WithHint(urlHint)
}
