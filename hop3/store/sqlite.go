package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/mattn/go-sqlite3" // also the driver "sqlite3"
	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// sqlite is a database in a file.
type sqlite struct{ path string }

func (s sqlite) dialect() goose.Dialect { return goose.DialectSQLite3 }

func (s sqlite) open(ctx context.Context) (*DB, error) {
	if err := s.create(); err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "cannot make the database %s: %w", s.path, err)
	}
	// synchronous=FULL: what was committed is there after a power failure.
	write, err := sql.Open("sqlite3", s.dsn("rw", url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_txlock": {"immediate"},
	}))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", s.path, err)
	}
	write.SetMaxOpenConns(1)
	// The writer comes first: it makes the journal that readers need.
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(
			hop3.Errorf(hop3.CodeUnavailable, "cannot open the database %s: %w", s.path, err), write.Close())
	}
	read, err := sql.Open("sqlite3", s.dsn("ro", nil))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s for reading: %w", s.path, err), write.Close())
	}
	read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	read.SetMaxIdleConns(4)
	return &DB{write: write, read: read, url: "sqlite://" + s.path}, nil
}

// create makes an empty file only its owner can read. SQLite gives its journal
// files the same mode.
func (s sqlite) create() error {
	// An existing file must not be opened: closing it would drop the POSIX
	// locks of every other connection of this process.
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func (s sqlite) dsn(mode string, params url.Values) string {
	q := url.Values{"mode": {mode}, "_busy_timeout": {"5000"}, "_foreign_keys": {"on"}}
	for k, v := range params {
		q[k] = v
	}
	u := url.URL{Scheme: "file", Path: s.path, OmitHost: true, RawQuery: q.Encode()}
	return u.String()
}

// lock locks the directory, which leaves no lock file behind.
func (s sqlite) lock(ctx context.Context, _ *sql.DB) (func(), error) {
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = dir.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, dir.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), dir.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// isFull reports whether SQLite failed because the disk is full.
func isFull(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrFull || e.SystemErrno == unix.ENOSPC || e.SystemErrno == unix.EDQUOT)
}
