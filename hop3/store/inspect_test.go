package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/store"
)

func TestSQLiteIsInspectedAndCopied(t *testing.T) {
	home := t.TempDir()
	s, err := store.Inspect(t.Context(), "", home)
	if err != nil || s.Exists || s.Newest == 0 {
		t.Errorf("nothing is there: %+v, %v", s, err)
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 0 {
		t.Errorf("looking has made %v, %v", entries, err)
	}
	copied := filepath.Join(home, "copy.db")
	if err := store.Backup(t.Context(), "", home, copied); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("a copy of nothing: %v", err)
	}
	db, err := store.Open(t.Context(), "", home)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.CreateApp(t.Context(), hop3.App{Name: "blog"}); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Inspect(t.Context(), "", home); err != nil || !s.Exists || s.Schema != s.Newest || s.Size == 0 || s.Trouble != "" {
		t.Errorf("a new database: %+v, %v", s, err)
	}
	if err := store.Backup(t.Context(), "", home, copied); err != nil {
		t.Fatal(err)
	}
	if err := store.Backup(t.Context(), "", home, copied); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("over a file: %v", err)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v, %v", info, err)
	}
	other, err := store.Open(t.Context(), "sqlite:///"+copied, home)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.App(t.Context(), "blog"); err != nil {
		t.Errorf("the copy has no app: %v", err)
	}
}

func TestADamagedSQLiteIsFound(t *testing.T) {
	home := t.TempDir()
	db, err := store.Open(t.Context(), "", home)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // which ends the journal
		t.Fatal(err)
	}
	file := filepath.Join(home, "hop3.db")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 + 8; i < len(text); i += 7 {
		text[i] ^= 0x55
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Inspect(t.Context(), "", home); err == nil && s.Trouble == "" {
		t.Errorf("nobody sees the damage: %+v", s)
	}
	if err := store.Backup(t.Context(), "", home, filepath.Join(home, "copy.db")); err == nil {
		t.Error("a damaged database was copied as if it were sound")
	}
	if _, err := os.Stat(filepath.Join(home, "copy.db")); err == nil {
		t.Error("there is half a copy")
	}
}

// copiesPostgreSQL copies a database with pg_dump and restores the copy.
func copiesPostgreSQL(t *testing.T, s *postgresServer) {
	url := s.create(t)
	if s, err := store.Inspect(t.Context(), url, ""); err != nil || s.Schema != 0 || strings.Contains(s.URL, "secret") {
		t.Errorf("an empty database: %+v, %v", s, err)
	}
	db, err := store.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.CreateApp(t.Context(), hop3.App{Name: "blog"}); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Inspect(t.Context(), url, ""); err != nil || s.Schema != s.Newest || s.Size == 0 {
		t.Errorf("a database: %+v, %v", s, err)
	}
	file := filepath.Join(t.TempDir(), "copy")
	if err := store.Backup(t.Context(), url, "", file); err != nil {
		t.Fatal(err)
	}
	target := s.create(t)
	if _, err := store.Restore(t.Context(), target, "", file); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), target, "", file); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("over a database that is not empty: %v", err)
	}
	if _, err := store.Restore(t.Context(), "", t.TempDir(), file); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a dump of PostgreSQL as a file of SQLite: %v", err)
	}
	restored, err := sql.Open("pgx", target)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	var name string
	if err := restored.QueryRowContext(t.Context(), "SELECT name FROM apps").Scan(&name); err != nil || name != "blog" {
		t.Errorf("the restored database has %q, %v", name, err)
	}
}
