package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Networks returns the named networks, ordered by name.
func (db *DB) Networks(ctx context.Context) ([]hop3.Network, error) {
	list, err := all(ctx, db.read, func(row scanner) (n hop3.Network, err error) {
		var cidrs string
		err = row.Scan(&n.Name, &cidrs)
		n.CIDRs = strings.Fields(cidrs)
		return n, err
	}, "SELECT name, cidrs FROM networks ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("reading the networks: %w", err)
	}
	return list, nil
}

// SetNetwork stores a network, in place of the one of this name.
func (db *DB) SetNetwork(ctx context.Context, n hop3.Network) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO networks (name, cidrs) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET cidrs = excluded.cidrs",
			n.Name, strings.Join(n.CIDRs, " "))
		if err != nil {
			return fmt.Errorf("storing the network %s: %w", n.Name, err)
		}
		return nil
	})
}

// DeleteNetwork forgets a network, or returns a CodeNotFound error.
func (db *DB) DeleteNetwork(ctx context.Context, name string) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		found, err := exec(ctx, tx, "DELETE FROM networks WHERE name = $1", clean(name))
		if err != nil {
			return fmt.Errorf("deleting the network %s: %w", name, err)
		}
		if !found {
			return hop3.Errorf(hop3.CodeNotFound, "There is no network '%s'.", clean(name))
		}
		return nil
	})
}

// Bans returns the bans that hold at a time, ordered by app and source.
func (db *DB) Bans(ctx context.Context, at time.Time) ([]hop3.Ban, error) {
	list, err := all(ctx, db.read, func(row scanner) (b hop3.Ban, err error) {
		var since, expires int64
		err = row.Scan(&b.App, &b.Source, &b.Reason, &since, &expires)
		b.Since, b.Expires = fromMicros(since), fromMicros(expires)
		return b, err
	}, "SELECT app, source, reason, since, expires_at FROM bans WHERE expires_at > $1 ORDER BY app, source", toMicros(at))
	if err != nil {
		return nil, fmt.Errorf("reading the bans: %w", err)
	}
	return list, nil
}

// SaveBan stores a ban, in place of an earlier one of the same client, and
// forgets those that are over when it begins.
func (db *DB) SaveBan(ctx context.Context, b hop3.Ban) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.app(ctx, tx, b.App); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM bans WHERE expires_at <= $1", toMicros(b.Since))
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO bans (app, source, reason, since, expires_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (app, source) DO UPDATE SET reason = excluded.reason, since = excluded.since, expires_at = excluded.expires_at`,
				b.App, clean(b.Source), clean(b.Reason), toMicros(b.Since), toMicros(b.Expires))
		}
		if err != nil {
			return fmt.Errorf("storing a ban of %s: %w", b.App, err)
		}
		return nil
	})
}

// DeleteBans forgets the bans of an app, those of one source when source is
// not "", and returns how many there were.
func (db *DB) DeleteBans(ctx context.Context, app, source string) (int, error) {
	var n int64
	err := db.change(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM bans WHERE app = $1 AND ($2 = '' OR source = $2)", app, clean(source))
		if err == nil {
			n, err = res.RowsAffected()
		}
		if err != nil {
			return fmt.Errorf("deleting bans of %s: %w", app, err)
		}
		return nil
	})
	return int(n), err
}
