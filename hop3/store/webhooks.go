package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

const deliveryColumns = `id, app, host, delivery, digest, kind, ref, commit_hash, received_at, status, note`

// keptDeliveries is how many deliveries of an app are remembered.
const keptDeliveries = 100

// NewDelivery stores a delivery under an ID of its own and returns it with ID
// and Received set. It returns a CodeConflict error when the same message, by
// its id or by what it says, is remembered and did not fail. Old deliveries of
// the app are forgotten.
func (db *DB) NewDelivery(ctx context.Context, d hop3.WebhookDelivery) (hop3.WebhookDelivery, error) {
	err := db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.app(ctx, tx, d.App); err != nil {
			return err
		}
		var seen int
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM webhook_deliveries
			WHERE app = $1 AND status <> $2 AND (digest = $3 OR delivery = $4 AND delivery <> '')`,
			d.App, string(hop3.DeliveryFailed), d.Digest, d.Delivery).Scan(&seen)
		if err == nil && seen > 0 {
			return hop3.Errorf(hop3.CodeConflict, "this message was delivered before")
		}
		if err == nil {
			err = tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) + 1 FROM webhook_deliveries").Scan(&d.ID)
		}
		d.Received = now()
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO webhook_deliveries (`+deliveryColumns+`)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
				d.ID, d.App, d.Host, clean(d.Delivery), d.Digest, clean(d.Kind), clean(d.Ref), d.Commit, toMicros(d.Received), string(d.Status), clean(d.Note))
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM webhook_deliveries WHERE app = $1 AND status <> $2 AND id NOT IN
				(SELECT id FROM webhook_deliveries WHERE app = $1 ORDER BY id DESC LIMIT $3)`, d.App, string(hop3.DeliveryPending), keptDeliveries)
		}
		if err != nil {
			return fmt.Errorf("storing a delivery to %s: %w", d.App, err)
		}
		return nil
	})
	if err != nil {
		return hop3.WebhookDelivery{}, err
	}
	return d, nil
}

// SettleDelivery says what became of a delivery.
func (db *DB) SettleDelivery(ctx context.Context, id int64, status hop3.DeliveryStatus, note string) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE webhook_deliveries SET status = $1, note = $2 WHERE id = $3", string(status), clean(note), id)
		if err != nil {
			return fmt.Errorf("settling delivery %d: %w", id, err)
		}
		return nil
	})
}

// Deliveries returns the last n deliveries to an app, the newest first.
func (db *DB) Deliveries(ctx context.Context, app string, n int) ([]hop3.WebhookDelivery, error) {
	if _, err := db.app(ctx, db.read, app); err != nil {
		return nil, err
	}
	return db.deliveries(ctx, "WHERE app = $1 ORDER BY id DESC LIMIT $2", app, n)
}

// PendingDeliveries returns the deliveries of all apps that nothing has become
// of yet, the oldest first.
func (db *DB) PendingDeliveries(ctx context.Context) ([]hop3.WebhookDelivery, error) {
	return db.deliveries(ctx, "WHERE status = $1 ORDER BY id", string(hop3.DeliveryPending))
}

func (db *DB) deliveries(ctx context.Context, which string, args ...any) ([]hop3.WebhookDelivery, error) {
	found, err := all(ctx, db.read, func(row scanner) (d hop3.WebhookDelivery, err error) {
		var received int64
		err = row.Scan(&d.ID, &d.App, &d.Host, &d.Delivery, &d.Digest, &d.Kind, &d.Ref, &d.Commit, &received, &d.Status, &d.Note)
		d.Received = fromMicros(received)
		return d, err
	}, "SELECT "+deliveryColumns+" FROM webhook_deliveries "+which, args...)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return found, nil
}
