package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/store"
)

// A copy takes the place of a database, which is kept; one that is no good
// takes nobody's.
func TestSQLiteIsRestored(t *testing.T) {
	home := t.TempDir()
	with := store.WithSecret(secret)
	has := func(url string, apps ...string) {
		t.Helper()
		db, err := store.Open(t.Context(), url, home, with)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		all, err := db.Apps(t.Context())
		if err != nil || len(all) != len(apps) {
			t.Fatalf("%v, %v, want %v", all, err, apps)
		}
		for i, a := range all {
			if a.Name != apps[i] {
				t.Errorf("app %d is %s, want %s", i, a.Name, apps[i])
			}
		}
	}
	db, err := store.Open(t.Context(), "", home, with)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateApp(t.Context(), hop3.App{Name: "blog"}); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := store.Backup(t.Context(), "", home, copied); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateApp(t.Context(), hop3.App{Name: "later"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	damaged := filepath.Join(t.TempDir(), "damaged")
	text, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 + 8; i < len(text); i += 7 {
		text[i] ^= 0x55
	}
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, o := range map[string]store.Option{damaged: with, copied: store.WithSecret([]byte(strings.Repeat("x", 32))), filepath.Join(home, "none"): with} {
		if _, err := store.Restore(t.Context(), "", home, file, o); err == nil {
			t.Errorf("%s was restored", file)
		}
		has("", "blog", "later")
	}

	aside, err := store.Restore(t.Context(), "", home, copied, with)
	if err != nil {
		t.Fatal(err)
	}
	has("", "blog")
	has("sqlite:///"+aside, "blog", "later")
	if left, _ := filepath.Glob(filepath.Join(home, "*.restoring*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	home = t.TempDir()
	if aside, err := store.Restore(t.Context(), "", home, copied, with); err != nil || aside != "" {
		t.Errorf("into an empty home: %q, %v", aside, err)
	}
	has("", "blog")
	if info, err := os.Stat(filepath.Join(home, "hop3.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
