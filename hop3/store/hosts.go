package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// Commit makes a release the live one: it becomes live, the one that was
// becomes retired, the app's Live, State and Error change, and the app's hosts
// and ports become exactly the release's, in one transaction; the app is not
// asleep. It returns a CodeConflict error naming the owner when one of them
// belongs to another app. Committing the
// live release again changes nothing but those.
func (db *DB) Commit(ctx context.Context, app string, number int, events ...hop3.Event) error {
	return db.changeApps(ctx, func(tx *sql.Tx, revision int64) error {
		r, err := db.release(ctx, tx, app, number)
		if err != nil {
			return err
		}
		if err := claimHosts(ctx, tx, r); err != nil {
			return err
		}
		if err := claimPorts(ctx, tx, app, r.Ports); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE releases SET status = $1 WHERE app = $2 AND status = $3 AND number <> $4",
			string(hop3.ReleaseRetired), app, string(hop3.ReleaseLive), number)
		if err != nil {
			return fmt.Errorf("retiring the live release of %s: %w", app, err)
		}
		at := now()
		if r.Status != hop3.ReleaseLive {
			if r.Took == 0 { // not when the one that replaced it is taken back
				r.Took = at.Sub(r.CreatedAt)
			}
			r.Status, r.Error, r.LiveAt = hop3.ReleaseLive, "", at
			if err := db.writeRelease(ctx, tx, r); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE apps SET live = $1, state = $2, error = '', asleep = FALSE, updated_at = $3, revision = $4 WHERE name = $5",
			number, int(hop3.StateRunning), toMicros(at), revision, app)
		if err != nil {
			return fmt.Errorf("committing release %d of %s: %w", number, app, err)
		}
		return nil
	}, events...)
}

// Hosts returns which app each claimed host belongs to.
func (db *DB) Hosts(ctx context.Context) (map[string]string, error) {
	type claim struct{ host, app string }
	claims, err := all(ctx, db.read, func(row scanner) (c claim, err error) {
		err = row.Scan(&c.host, &c.app)
		return c, err
	}, "SELECT host, app FROM hosts")
	if err != nil {
		return nil, fmt.Errorf("reading the hosts: %w", err)
	}
	hosts := make(map[string]string, len(claims))
	for _, c := range claims {
		hosts[c.host] = c.app
	}
	return hosts, nil
}

// claimHosts makes the hosts of the release all that its app has.
func claimHosts(ctx context.Context, tx *sql.Tx, r hop3.Release) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM hosts WHERE app = $1", r.App); err != nil {
		return fmt.Errorf("releasing the hosts of %s: %w", r.App, err)
	}
	for _, host := range slices.Compact(slices.Sorted(slices.Values(r.Hosts))) {
		claimed, err := exec(ctx, tx, "INSERT INTO hosts (host, app) VALUES ($1, $2) ON CONFLICT DO NOTHING", host, r.App)
		if err != nil {
			return fmt.Errorf("claiming %s for %s: %w", host, r.App, err)
		}
		if claimed {
			continue
		}
		var owner string
		if err := tx.QueryRowContext(ctx, "SELECT app FROM hosts WHERE host = $1", host).Scan(&owner); err != nil {
			return fmt.Errorf("claiming %s for %s: %w", host, r.App, err)
		}
		return hop3.Errorf(hop3.CodeConflict, "Hostname '%s' is already used by app '%s'.", host, owner)
	}
	return nil
}
