package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/abilian/hop3/hop3"
)

// Moves returns what is known of apps that come and go, ordered by app.
func (db *DB) Moves(ctx context.Context) ([]hop3.Move, error) {
	found, err := all(ctx, db.read, func(row scanner) (m hop3.Move, err error) {
		var app, spec string
		var incoming bool
		if err := row.Scan(&app, &incoming, &spec); err != nil {
			return m, err
		}
		text, err := db.seal.open(movePlace(app, incoming), spec)
		if err == nil {
			err = json.Unmarshal([]byte(text), &m)
		}
		return m, err
	}, "SELECT app, incoming, spec FROM moves ORDER BY app, incoming")
	if err != nil {
		return nil, fmt.Errorf("reading the moves: %w", err)
	}
	return found, nil
}

// movePlace is where what is known of a move is sealed for.
func movePlace(app string, incoming bool) string {
	return "move " + strconv.FormatBool(incoming) + " " + app
}

// SaveMove remembers a move, in place of what was known of it.
func (db *DB) SaveMove(ctx context.Context, m hop3.Move, events ...hop3.Event) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return db.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO moves (app, incoming, spec) VALUES ($1, $2, $3) ON CONFLICT (app, incoming) DO UPDATE SET spec = excluded.spec",
			m.App, m.Incoming, db.seal.seal(movePlace(m.App, m.Incoming), string(text)))
		if err != nil {
			return fmt.Errorf("remembering the move of '%s': %w", m.App, err)
		}
		return nil
	}, events...)
}

// EndMove forgets a move; none is no error.
func (db *DB) EndMove(ctx context.Context, app string, incoming bool, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM moves WHERE app = $1 AND incoming = $2", app, incoming); err != nil {
			return fmt.Errorf("forgetting the move of '%s': %w", app, err)
		}
		return nil
	}, events...)
}
