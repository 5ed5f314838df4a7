package store_test

import (
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/store"
)

var _ platform.Store = (*store.DB)(nil)

// open opens a database that is closed at the end of the test by whoever got
// it.
func open(t *testing.T, url, home string, opts ...store.Option) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, home, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

var secret = []byte("0123456789abcdef0123456789abcdef")

func TestSQLite(t *testing.T) {
	hop3test.Store(t, func(t *testing.T) func() hop3test.Database {
		home := t.TempDir()
		return func() hop3test.Database { return open(t, "", home, store.WithSecret(secret)) }
	})
}
