package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

const cronColumns = `id, app, entry, release, due_at, started_at, ended_at, exit, error, log_file`

// NewCronRun stores a run of an app that exists under a number of its own and
// returns it with ID set. It returns a CodeConflict error when a run of the
// entry for the same Due is stored already: no turn is taken twice.
func (db *DB) NewCronRun(ctx context.Context, r hop3.CronRun) (hop3.CronRun, error) {
	err := db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.app(ctx, tx, r.App); err != nil {
			return err
		}
		var taken int
		err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM cron_runs WHERE app = $1 AND entry = $2 AND due_at = $3 AND due_at <> 0",
			r.App, r.Entry, toMicros(r.Due)).Scan(&taken)
		if err == nil && taken > 0 {
			return hop3.Errorf(hop3.CodeConflict, "The turn of '%s' of app '%s' at %s was taken already.", r.Entry, r.App, r.Due.UTC().Format(time.DateTime))
		}
		if err == nil {
			err = tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) + 1 FROM cron_runs").Scan(&r.ID)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO cron_runs (`+cronColumns+`)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
				r.ID, r.App, r.Entry, r.Release, toMicros(r.Due), toMicros(r.StartedAt), toMicros(r.EndedAt), r.Exit, clean(r.Error), clean(r.LogFile))
		}
		if err != nil {
			return fmt.Errorf("storing a run of %s of %s: %w", r.Entry, r.App, err)
		}
		return nil
	})
	if err != nil {
		return hop3.CronRun{}, err
	}
	return r, nil
}

// UpdateCronRun reads a run, lets change alter it, and writes it back in one
// transaction. An error of change is returned and nothing is written. ID, App,
// Entry and Due cannot change.
func (db *DB) UpdateCronRun(ctx context.Context, id int64, change func(*hop3.CronRun) error) (hop3.CronRun, error) {
	var r hop3.CronRun
	err := db.change(ctx, func(tx *sql.Tx) (err error) {
		r, err = scanCronRun(tx.QueryRowContext(ctx, "SELECT "+cronColumns+" FROM cron_runs WHERE id = $1", id))
		if errors.Is(err, sql.ErrNoRows) {
			return cronRunNotFound(id)
		}
		if err != nil {
			return fmt.Errorf("reading cron run %d: %w", id, err)
		}
		before := r
		if err := change(&r); err != nil {
			return err
		}
		r.ID, r.App, r.Entry, r.Due = before.ID, before.App, before.Entry, before.Due
		_, err = tx.ExecContext(ctx, `UPDATE cron_runs SET release = $1, started_at = $2, ended_at = $3, exit = $4,
				error = $5, log_file = $6 WHERE id = $7`,
			r.Release, toMicros(r.StartedAt), toMicros(r.EndedAt), r.Exit, clean(r.Error), clean(r.LogFile), id)
		if err != nil {
			return fmt.Errorf("updating cron run %d: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return hop3.CronRun{}, err
	}
	return r, nil
}

// CronRun returns a run of an app, or a CodeNotFound error.
func (db *DB) CronRun(ctx context.Context, app string, id int64) (hop3.CronRun, error) {
	r, err := scanCronRun(db.read.QueryRowContext(ctx, "SELECT "+cronColumns+" FROM cron_runs WHERE app = $1 AND id = $2", app, id))
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := db.app(ctx, db.read, app); err != nil {
			return r, err
		}
		return r, cronRunNotFound(id)
	}
	if err != nil {
		return r, fmt.Errorf("reading cron run %d: %w", id, err)
	}
	return r, nil
}

// CronRuns returns the last n runs of an entry of an app, of all its entries
// when entry is "", the newest first.
func (db *DB) CronRuns(ctx context.Context, app, entry string, n int) ([]hop3.CronRun, error) {
	if _, err := db.app(ctx, db.read, app); err != nil {
		return nil, err
	}
	// Every entry's name is at least as great as "".
	which := "="
	if entry == "" {
		which = ">="
	}
	runs, err := all(ctx, db.read, scanCronRun, "SELECT "+cronColumns+" FROM cron_runs WHERE app = $1 AND entry "+which+" $2 ORDER BY id DESC LIMIT $3",
		app, entry, n)
	if err != nil {
		return nil, fmt.Errorf("reading the cron runs of %s: %w", app, err)
	}
	return runs, nil
}

// EndCronRuns ends the runs that are said to be under way, with why as their
// Error.
func (db *DB) EndCronRuns(ctx context.Context, why string) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE cron_runs SET ended_at = $1, error = $2 WHERE ended_at = 0", toMicros(now()), clean(why))
		if err != nil {
			return fmt.Errorf("ending the cron runs under way: %w", err)
		}
		return nil
	})
}

// PruneCronRuns forgets the runs of an app that have ended but for the newest:
// each of every entry, and total of all. It returns what it forgot.
func (db *DB) PruneCronRuns(ctx context.Context, app string, each, total int) ([]hop3.CronRun, error) {
	var gone []hop3.CronRun
	err := db.change(ctx, func(tx *sql.Tx) (err error) {
		gone, err = all(ctx, tx, scanCronRun, `SELECT `+cronColumns+` FROM (
				SELECT `+cronColumns+`,
					ROW_NUMBER() OVER (PARTITION BY entry ORDER BY id DESC) AS nth,
					ROW_NUMBER() OVER (ORDER BY id DESC) AS nth_of_all
				FROM cron_runs WHERE app = $1) AS runs
			WHERE (nth > $2 OR nth_of_all > $3) AND ended_at <> 0 ORDER BY id`, app, each, total)
		if err != nil || len(gone) == 0 {
			return err
		}
		marks, ids := make([]string, len(gone)), make([]any, len(gone))
		for i, r := range gone {
			marks[i], ids[i] = fmt.Sprintf("$%d", i+1), r.ID
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM cron_runs WHERE id IN ("+strings.Join(marks, ", ")+")", ids...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("forgetting old cron runs of %s: %w", app, err)
	}
	return gone, nil
}

func scanCronRun(row scanner) (hop3.CronRun, error) {
	var r hop3.CronRun
	var due, started, ended int64
	err := row.Scan(&r.ID, &r.App, &r.Entry, &r.Release, &due, &started, &ended, &r.Exit, &r.Error, &r.LogFile)
	r.Due, r.StartedAt, r.EndedAt = fromMicros(due), fromMicros(started), fromMicros(ended)
	return r, err
}

func cronRunNotFound(id int64) error {
	return hop3.Errorf(hop3.CodeNotFound, "Cron run %d not found.", id)
}
