package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/store"
)

// rawExec runs a statement behind the store's back.
func rawExec(t *testing.T, driver, dsn, query string, args ...any) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func closing(t *testing.T, db *store.DB) *store.DB {
	t.Helper()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func TestSQLiteOpenedByManyAtOnce(t *testing.T) { openedByMany(t, "", t.TempDir()) }

func openedByMany(t *testing.T, url, home string) {
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := store.Open(t.Context(), url, home, store.WithSecret(secret))
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			if err := db.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
			if err := db.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestSQLiteMadeByANewerHop3(t *testing.T) {
	home := t.TempDir()
	madeByNewer(t, "sqlite:///"+home+"/hop3.db", home, "sqlite3")
}

func madeByNewer(t *testing.T, url, home, driver string) {
	db := open(t, url, home)
	version, err := db.Version(t.Context())
	if err != nil || version < 1 {
		t.Errorf("Version: %d, %v", version, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	dsn := url
	if driver == "sqlite3" {
		dsn = filepath.Join(home, "hop3.db")
	}
	rawExec(t, driver, dsn, "INSERT INTO hop3_schema (version_id, is_applied) VALUES (9999, $1)", true)
	_, err = store.Open(t.Context(), url, home)
	if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "was made by a newer Hop3: it has schema 9999") {
		t.Errorf("got %v", err)
	}
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	home := t.TempDir()
	db := closing(t, open(t, "", home))
	if err := db.CreateApp(t.Context(), hop3.App{Name: "blog"}); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("found %d files, %v", files, err)
	}
}

func TestSecretsAreSealed(t *testing.T) {
	home := t.TempDir()
	db := open(t, "", home, store.WithSecret(secret))
	app := hop3.App{Admin: &hop3.Account{Password: "correct horse too"}, Name: "blog", Env: hop3.Env{"PASSWORD": "correct horse battery staple"}}
	if err := db.CreateApp(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	r := hop3.Release{App: "blog", Status: hop3.ReleaseBuilding, Env: app.Env}
	if _, err := db.NewRelease(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(home, "hop3.db"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("correct horse")) || !bytes.Contains(data, []byte("blog")) {
		t.Error("the file shows the password, or nothing at all")
	}

	for name, opts := range map[string][]store.Option{
		"another secret": {store.WithSecret(bytes.Repeat([]byte("x"), 32))},
		"no secret":      nil,
	} {
		_, err := store.Open(t.Context(), "", home, opts...)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "sealed with another secret") {
			t.Errorf("with %s: got %v", name, err)
		}
	}

	// What was sealed for one app opens for no other.
	rawExec(t, "sqlite3", filepath.Join(home, "hop3.db"), `INSERT INTO apps
		SELECT 'thief', 'thief', state, error, deploy_branch, live, last_release, env, scale, created_by, created_at, updated_at, asleep, accounts, spec, team, revision
		FROM apps WHERE name = 'blog'`)
	db = closing(t, open(t, "", home, store.WithSecret(secret)))
	if got, err := db.App(t.Context(), "blog"); err != nil || got.Env["PASSWORD"] != app.Env["PASSWORD"] {
		t.Errorf("got %v, %v", got.Env, err)
	}
	if got, err := db.App(t.Context(), "thief"); err == nil {
		t.Errorf("the thief reads %v", got.Env)
	}
}

func TestADatabaseWithoutSecretGetsOne(t *testing.T) {
	home := t.TempDir()
	db := open(t, "", home)
	if err := db.CreateApp(t.Context(), hop3.App{Name: "blog", Env: hop3.Env{"A": "b"}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = closing(t, open(t, "", home, store.WithSecret(secret)))
	if got, err := db.App(t.Context(), "blog"); err != nil || got.Env["A"] != "b" {
		t.Errorf("got %v, %v", got.Env, err)
	}
}

func TestURLs(t *testing.T) {
	home := t.TempDir()
	elsewhere := filepath.Join(t.TempDir(), "a #100% db?.db")
	escaped := strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23", " ", "%20").Replace(elsewhere)
	for url, file := range map[string]string{
		"":                                home + "/hop3.db",
		"sqlite://in-home.db":             home + "/in-home.db",
		"sqlite://" + escaped:             elsewhere,
		"sqlite:///" + escaped:            elsewhere,
		"sqlite+aiosqlite:///" + escaped:  elsewhere,
		"SQLite:////" + escaped + "#x.db": elsewhere + "#x.db",
	} {
		db, err := store.Open(t.Context(), url, home)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestBadURLs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for url, code := range map[string]hop3.Code{
		"mysql://hop3:hunter2@localhost/hop3":                     hop3.CodeInvalid,
		"hunter2":                                                 hop3.CodeInvalid,
		"sqlite://":                                               hop3.CodeInvalid,
		"sqlite:///:memory:":                                      hop3.CodeInvalid,
		"sqlite:///x.db?key=hunter2":                              hop3.CodeInvalid,
		"sqlite:///no/such/directory/hop3.db":                     hop3.CodeUnavailable,
		"postgresql://hop3:hunter2%zz@localhost/hop3":             hop3.CodeInvalid,
		"postgresql://hop3:hunter2@localhost:port/hop3":           hop3.CodeInvalid,
		"postgresql://hop3:hunter2@localhost/":                    hop3.CodeInvalid,
		"postgres://hop3:hunter2@127.0.0.1:1/hop3":                hop3.CodeUnavailable,
		"postgresql+psycopg://hop3:hunter2@127.0.0.1:1/hop3":      hop3.CodeUnavailable,
		"postgresql+psycopg2://127.0.0.1:1/hop3?password=hunter2": hop3.CodeUnavailable,
	} {
		_, err := store.Open(ctx, url, t.TempDir())
		if hop3.CodeOf(err) != code {
			t.Errorf("%s: got %v (%s), want %s", url, err, hop3.CodeOf(err), code)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", url, err)
		}
	}
}
