package store

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

const eventColumns = `id, at, kind, actor, source, app, release, message, data, hash`

// maxEventText bounds a message, in bytes: errors quote what apps print.
const maxEventText = 2000

// eventData is the part of an event that no query asks for.
type eventData struct {
	Changes []hop3.Difference `json:"changes,omitempty"`
	Data    map[string]string `json:"data,omitempty"`
}

// eventRow is an event as it is stored.
type eventRow struct {
	hop3.Event
	data, hash string
}

// AddEvents stores events that belong to no other change.
func (db *DB) AddEvents(ctx context.Context, events ...hop3.Event) error {
	if len(events) == 0 {
		return nil
	}
	return db.change(ctx, func(*sql.Tx) error { return nil }, events...)
}

// Appended returns a channel that is closed when the next event is stored.
func (db *DB) Appended() <-chan struct{} { return db.appended.wait() }

// Events returns the events that the query chooses, the newest last.
func (db *DB) Events(ctx context.Context, q hop3.EventQuery) ([]hop3.Event, error) {
	var where []string
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	add("id > $%d", q.After)
	if q.Before > 0 {
		add("id < $%d", q.Before)
	}
	if q.App != "" {
		add("app = $%d", q.App)
	}
	if q.Kind != "" {
		add("(kind = $%d", string(q.Kind))
		group := string(q.Kind) + "."
		args = append(args, len(group), group)
		where[len(where)-1] += fmt.Sprintf(" OR substr(kind, 1, $%d) = $%d)", len(args)-1, len(args))
	}
	if !q.Since.IsZero() {
		add("at >= $%d", toMicros(q.Since))
	}
	order, limit := "DESC", q.Limit
	if q.After > 0 {
		order = "ASC"
	}
	if limit <= 0 {
		limit = 1000
	}
	args = append(args, limit)
	rows, err := all(ctx, db.read, scanEvent, fmt.Sprintf("SELECT %s FROM events WHERE %s ORDER BY id %s LIMIT $%d",
		eventColumns, strings.Join(where, " AND "), order, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("reading the events: %w", err)
	}
	events := make([]hop3.Event, len(rows))
	for i, row := range rows {
		events[i] = row.Event
	}
	if order == "DESC" {
		slices.Reverse(events)
	}
	return events, nil
}

// VerifyEvents checks that the events are those that were stored, all of them
// and in their order. A CodeConflict error says which is not. Who knows the
// server's secret can still make up all of them anew.
func (db *DB) VerifyEvents(ctx context.Context) (hop3.EventChain, error) {
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return hop3.EventChain{}, fmt.Errorf("reading the events: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	lastID, lastHash, hash, err := chain(ctx, tx)
	if err != nil {
		return hop3.EventChain{}, err
	}
	base := hash
	hash = base[:min(len(base), hashSize)]
	var c hop3.EventChain
	for {
		rows, err := all(ctx, tx, scanEvent, "SELECT "+eventColumns+" FROM events WHERE id > $1 ORDER BY id LIMIT 1000", c.Last)
		if err != nil {
			return hop3.EventChain{}, fmt.Errorf("reading the events: %w", err)
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			if c.First == 0 {
				c.First = row.ID
				if base != "" && base != db.anchor(row.ID-1, hash) {
					return c, hop3.Errorf(hop3.CodeConflict, "The events before %d were not forgotten by this server.", row.ID)
				}
			} else if row.ID != c.Last+1 {
				return c, hop3.Errorf(hop3.CodeConflict, "The events %d to %d are gone.", c.Last+1, row.ID-1)
			}
			if hash = db.hashEvent(hash, row); hash != row.hash {
				return c, hop3.Errorf(hop3.CodeConflict, "The event %d is not as it was stored, or what was before it is gone.", row.ID)
			}
			c.Last, c.Hash = row.ID, hash
		}
	}
	if c.Last > lastID {
		return c, hop3.Errorf(hop3.CodeConflict, "The events after %d were not stored by this server.", lastID)
	}
	if c.Last != lastID || hash != lastHash {
		return c, hop3.Errorf(hop3.CodeConflict, "The newest events are gone: the last one was %d.", lastID)
	}
	return c, nil
}

// PruneEvents forgets the events from before a time, and the oldest of those
// beyond most.
func (db *DB) PruneEvents(ctx context.Context, before time.Time, most int) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		var last, young int64
		err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM events").Scan(&last)
		if err == nil {
			err = tx.QueryRowContext(ctx, "SELECT COALESCE(MIN(id), $1) FROM events WHERE at >= $2", last, toMicros(before)).Scan(&young)
		}
		cut := max(young-1, last-int64(most)) // the newest is always kept
		var hash string
		if err == nil {
			err = tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(hash), '') FROM events WHERE id = $1", cut).Scan(&hash)
		}
		if err == nil && hash != "" {
			if _, err = tx.ExecContext(ctx, "DELETE FROM events WHERE id <= $1", cut); err == nil {
				_, err = tx.ExecContext(ctx, "UPDATE event_chain SET base_hash = $1", db.anchor(cut, hash))
			}
		}
		if err != nil {
			return fmt.Errorf("forgetting old events: %w", err)
		}
		return nil
	})
}

// append stores events in a transaction, which is the only one that writes.
func (db *DB) append(ctx context.Context, tx *sql.Tx, events []hop3.Event) error {
	if len(events) == 0 {
		return nil
	}
	id, hash, _, err := chain(ctx, tx)
	if err != nil {
		return err
	}
	for _, e := range events {
		id++
		row := eventRow{Event: e}
		row.ID, row.Time = id, now()
		row.Message = shorten(clean(e.Message))
		row.Actor, row.Source = clean(e.Actor), clean(e.Source)
		data, err := json.Marshal(eventData{Changes: e.Changes, Data: e.Data})
		if err != nil {
			return fmt.Errorf("storing an event: %w", err)
		}
		row.data = clean(string(data))
		hash = db.hashEvent(hash, row)
		_, err = tx.ExecContext(ctx, "INSERT INTO events ("+eventColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
			row.ID, toMicros(row.Time), string(row.Kind), row.Actor, row.Source, row.App, row.Release, row.Message, row.data, hash)
		if err != nil {
			return fmt.Errorf("storing an event: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE event_chain SET last_id = $1, last_hash = $2", id, hash); err != nil {
		return fmt.Errorf("storing an event: %w", err)
	}
	return nil
}

func chain(ctx context.Context, q querier) (last int64, hash, base string, err error) {
	err = q.QueryRowContext(ctx, "SELECT last_id, last_hash, base_hash FROM event_chain").Scan(&last, &hash, &base)
	if err != nil {
		err = fmt.Errorf("reading the chain of the events: %w", err)
	}
	return last, hash, base, err
}

// hashEvent is the hash of an event behind the one with the hash before. It is
// keyed: who can write to the database only cannot make it.
func (db *DB) hashEvent(before string, row eventRow) string {
	text, _ := json.Marshal([]any{before, row.ID, toMicros(row.Time), row.Kind, row.Actor, row.Source, row.App, row.Release, row.Message, row.data}) // strings and numbers only
	h := hmac.New(sha256.New, db.eventKey)
	_, _ = h.Write(text) // never fails
	return hex.EncodeToString(h.Sum(nil))
}

// hashSize is the length of a hash in hexadecimal.
const hashSize = 2 * sha256.Size

// anchor is what stays of the events up to this one, whose hash it begins with,
// when they are forgotten. It is keyed too: who takes away the oldest of those
// that are left cannot make one that fits.
func (db *DB) anchor(id int64, hash string) string {
	h := hmac.New(sha256.New, db.eventKey)
	_, _ = fmt.Fprintf(h, "forgotten up to %d %s", id, hash) // never fails
	return hash + hex.EncodeToString(h.Sum(nil))
}

// newEventKey derives the key of the events' hashes. Without a secret it is no
// secret either.
func newEventKey(secret []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, "hop3 events v1", 32)
}

func scanEvent(row scanner) (e eventRow, err error) {
	var at int64
	if err := row.Scan(&e.ID, &at, &e.Kind, &e.Actor, &e.Source, &e.App, &e.Release, &e.Message, &e.data, &e.hash); err != nil {
		return e, err
	}
	e.Time = fromMicros(at)
	var d eventData
	// What cannot be read was not written here: the hash tells.
	_ = json.Unmarshal([]byte(e.data), &d)
	e.Changes, e.Data = d.Changes, d.Data
	return e, nil
}

func shorten(text string) string {
	if len(text) <= maxEventText {
		return text
	}
	return strings.ToValidUTF8(text[:maxEventText], "") + "…"
}

// signal wakes all who wait for it.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
