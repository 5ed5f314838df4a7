package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/abilian/hop3/hop3"
)

// maxNotices is how many notices wait for one target.
const maxNotices = 200

// notifyCursor is the setting that has the ID of the last event that notices
// were made of.
const notifyCursor = "notify_cursor"

// NotifyTargets returns all targets, ordered by name.
func (db *DB) NotifyTargets(ctx context.Context) ([]hop3.NotifyTarget, error) {
	targets, err := all(ctx, db.read, func(row scanner) (t hop3.NotifyTarget, err error) {
		var spec string
		var since, sent int64
		s := hop3.NotifyStatus{}
		if err := row.Scan(&t.Name, &spec, &s.Failures, &since, &s.LastError, &sent, &s.Dropped, &s.Waiting); err != nil {
			return t, err
		}
		if spec, err = db.seal.open(targetPlace(t.Name), spec); err == nil {
			err = json.Unmarshal([]byte(spec), &t)
		}
		s.FailingSince, s.LastSent = fromMicros(since), fromMicros(sent)
		t.Status = s
		return t, err
	}, `SELECT name, spec, failures, failing_since, last_error, last_sent, dropped,
		(SELECT COUNT(*) FROM notices WHERE target = name) FROM notify_targets ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("reading the targets of notices: %w", err)
	}
	return targets, nil
}

// AddNotifyTarget stores a new target. It returns a CodeConflict error when the
// name is taken.
func (db *DB) AddNotifyTarget(ctx context.Context, t hop3.NotifyTarget, events ...hop3.Event) error {
	t.Status = hop3.NotifyStatus{}
	spec, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("adding a target of notices: %w", err)
	}
	return db.change(ctx, func(tx *sql.Tx) error {
		added, err := exec(ctx, tx, "INSERT INTO notify_targets (name, spec) VALUES ($1, $2) ON CONFLICT DO NOTHING", t.Name, db.seal.seal(targetPlace(t.Name), string(spec)))
		if err == nil && !added {
			return hop3.Errorf(hop3.CodeConflict, "There is a target '%s' already.", t.Name)
		}
		if err != nil {
			return fmt.Errorf("adding the target %s: %w", t.Name, err)
		}
		return nil
	}, events...)
}

// RemoveNotifyTarget forgets a target with the notices that wait for it.
func (db *DB) RemoveNotifyTarget(ctx context.Context, name string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		removed, err := exec(ctx, tx, "DELETE FROM notify_targets WHERE name = $1", name)
		if err == nil && !removed {
			return hop3.Errorf(hop3.CodeNotFound, "Target '%s' not found.", name).WithHint("`hop3 notify list` lists them.")
		}
		if err != nil {
			return fmt.Errorf("removing the target %s: %w", name, err)
		}
		return nil
	}, events...)
}

// NotifyCursor returns the ID of the last event that notices were made of; ok
// is false when that never happened.
func (db *DB) NotifyCursor(ctx context.Context) (id int64, ok bool, err error) {
	var text string
	err = db.read.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", notifyCursor).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err == nil {
		id, err = strconv.ParseInt(text, 10, 64)
	}
	return id, err == nil, err
}

// QueueNotices stores notices of the events up to cursor. Of a target that has
// too many, or is gone, they are dropped.
func (db *DB) QueueNotices(ctx context.Context, cursor int64, notices []hop3.Notice) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		for _, n := range notices {
			if err := queue(ctx, tx, n); err != nil {
				return fmt.Errorf("storing a notice for %s: %w", n.Target, err)
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			notifyCursor, strconv.FormatInt(cursor, 10))
		return err
	})
}

func queue(ctx context.Context, tx *sql.Tx, n hop3.Notice) error {
	event, err := json.Marshal(n.Event)
	if err != nil {
		return err
	}
	if n.Merge != "" {
		merged, err := exec(ctx, tx, "UPDATE notices SET count = count + $1, event = $2 WHERE target = $3 AND merge = $4", n.Count, clean(string(event)), n.Target, n.Merge)
		if err != nil || merged {
			return err
		}
	}
	var waiting, known int
	if err := tx.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM notices WHERE target = $1), (SELECT COUNT(*) FROM notify_targets WHERE name = $1)", n.Target).Scan(&waiting, &known); err != nil || known == 0 {
		return err
	}
	if waiting >= maxNotices {
		_, err := tx.ExecContext(ctx, "UPDATE notify_targets SET dropped = dropped + 1 WHERE name = $1", n.Target)
		return err
	}
	// Receivers know by its ID a notice that comes twice: none is used again.
	var id int64
	if err := tx.QueryRowContext(ctx, "SELECT CAST(COALESCE(MAX(value), '0') AS BIGINT) + 1 FROM settings WHERE name = 'notice_id'").Scan(&id); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES ('notice_id', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value", strconv.FormatInt(id, 10)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO notices (id, target, merge, event, count, first_at, attempts, next_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)",
		id, n.Target, n.Merge, clean(string(event)), n.Count, toMicros(n.First), toMicros(n.Next))
	return err
}

// Notices returns all notices that wait, the oldest first.
func (db *DB) Notices(ctx context.Context) ([]hop3.Notice, error) {
	notices, err := all(ctx, db.read, func(row scanner) (n hop3.Notice, err error) {
		var event string
		var first, next int64
		if err := row.Scan(&n.ID, &n.Target, &n.Merge, &event, &n.Count, &first, &n.Attempts, &next); err != nil {
			return n, err
		}
		n.First, n.Next = fromMicros(first), fromMicros(next)
		return n, json.Unmarshal([]byte(event), &n.Event)
	}, "SELECT id, target, merge, event, count, first_at, attempts, next_at FROM notices ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("reading the notices: %w", err)
	}
	return notices, nil
}

// NoticeSent forgets a notice that arrived. Events that were merged into it
// meanwhile stay, as a notice of their own, until next.
func (db *DB) NoticeSent(ctx context.Context, n hop3.Notice, next time.Time, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		gone, err := exec(ctx, tx, "DELETE FROM notices WHERE id = $1 AND count = $2", n.ID, n.Count)
		if err == nil && !gone {
			_, err = tx.ExecContext(ctx, "UPDATE notices SET count = count - $1, attempts = 0, next_at = $2 WHERE id = $3", n.Count, toMicros(next), n.ID)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE notify_targets SET failures = 0, failing_since = 0, last_error = '', last_sent = $1 WHERE name = $2", toMicros(now()), n.Target)
		}
		if err != nil {
			return fmt.Errorf("settling a notice: %w", err)
		}
		return nil
	}, events...)
}

// NoticeFailed notes that a notice did not arrive: it is tried again at next,
// or with the zero time given up.
func (db *DB) NoticeFailed(ctx context.Context, n hop3.Notice, why string, next time.Time, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) (err error) {
		dropped := 0
		if next.IsZero() {
			dropped = 1
			_, err = tx.ExecContext(ctx, "DELETE FROM notices WHERE id = $1", n.ID)
		} else {
			_, err = tx.ExecContext(ctx, "UPDATE notices SET attempts = attempts + 1, next_at = $1 WHERE id = $2", toMicros(next), n.ID)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE notify_targets SET failures = failures + 1, last_error = $1, dropped = dropped + $2,
				failing_since = CASE WHEN failing_since = 0 THEN $3 ELSE failing_since END WHERE name = $4`, clean(why), dropped, toMicros(now()), n.Target)
		}
		if err != nil {
			return fmt.Errorf("settling a notice: %w", err)
		}
		return nil
	}, events...)
}

func targetPlace(name string) string { return "notify/" + name }
