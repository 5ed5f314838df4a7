package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// knownApps are the apps as they were read last. Apps reads those only that have
// changed since, by whichever process: opening the sealed columns of thousands
// takes a tenth of a second.
type knownApps struct {
	learning sync.Mutex // held while they are read

	mu    sync.Mutex
	upTo  int64    // the revision that names is of; 0: none was read yet
	names []string // in order
	rows  map[string]appRow
}

// Apps returns all apps, ordered by name.
func (db *DB) Apps(ctx context.Context) ([]hop3.App, error) {
	if err := db.learnApps(ctx); err != nil {
		return nil, fmt.Errorf("reading the apps: %w", err)
	}
	db.known.mu.Lock()
	defer db.known.mu.Unlock()
	apps := make([]hop3.App, 0, len(db.known.names))
	for _, name := range db.known.names {
		if row, ok := db.known.rows[name]; ok { // else it went away while it was read
			apps = append(apps, row.Clone())
		}
	}
	return apps, nil
}

// learnApps brings what is known up to the last change.
func (db *DB) learnApps(ctx context.Context) error {
	var last int64
	if err := db.read.QueryRowContext(ctx, "SELECT value FROM counters WHERE name = 'apps'").Scan(&last); err != nil {
		return err
	}
	db.known.learning.Lock() // one at a time: who waits finds it done
	defer db.known.learning.Unlock()
	db.known.mu.Lock()
	upTo := db.known.upTo
	db.known.mu.Unlock()
	if upTo > 0 && upTo >= last {
		return nil
	}
	// What is read from here on is as new as the counter, or newer.
	revisions, err := db.revisions(ctx)
	if err == nil {
		err = db.readChanged(ctx, revisions)
	}
	if err != nil {
		return err
	}
	db.known.mu.Lock()
	defer db.known.mu.Unlock()
	db.known.upTo = last
	db.known.names = slices.Sorted(maps.Keys(revisions)) // here: a database's collation may not be ours
	return nil
}

// revisions returns the revision of every app.
func (db *DB) revisions(ctx context.Context) (map[string]int64, error) {
	rows, err := db.read.QueryContext(ctx, "SELECT name, revision FROM apps")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	revisions := map[string]int64{}
	for rows.Next() {
		var name string
		var revision int64
		if err := rows.Scan(&name, &revision); err != nil {
			return nil, err
		}
		revisions[name] = revision
	}
	return revisions, rows.Err()
}

// fewApps is up to how many that have changed are asked for one by one.
const fewApps = 20

// readChanged brings what is known up to these revisions, or newer ones.
func (db *DB) readChanged(ctx context.Context, revisions map[string]int64) error {
	var changed []string
	db.known.mu.Lock()
	maps.DeleteFunc(db.known.rows, func(name string, _ appRow) bool { _, there := revisions[name]; return !there })
	for name, revision := range revisions {
		if row, ok := db.known.rows[name]; !ok || row.revision < revision {
			changed = append(changed, name)
		}
	}
	db.known.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	query, args := "SELECT "+appColumns+" FROM apps", []any(nil)
	if len(changed) <= fewApps {
		places := make([]string, len(changed))
		for i, name := range changed {
			places[i] = fmt.Sprintf("$%d", i+1)
			args = append(args, name)
		}
		query += " WHERE name IN (" + strings.Join(places, ", ") + ")"
	}
	rows, err := all(ctx, db.read, db.scanApp, query, args...)
	if err != nil {
		return err
	}
	db.known.mu.Lock()
	defer db.known.mu.Unlock()
	if db.known.rows == nil {
		db.known.rows = map[string]appRow{}
	}
	for _, row := range rows {
		db.known.rows[row.Name] = row
	}
	return nil
}

// changeApps is change for what changes rows of apps: it gives them a revision
// that no row had before.
func (db *DB) changeApps(ctx context.Context, f func(tx *sql.Tx, revision int64) error, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		var revision int64
		err := tx.QueryRowContext(ctx, "UPDATE counters SET value = value + 1 WHERE name = 'apps' RETURNING value").Scan(&revision)
		if err != nil {
			return fmt.Errorf("numbering a change of an app: %w", err)
		}
		return f(tx, revision)
	}, events...)
}
