package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const addonColumns = `type, name, status, dedicated, options, details, next, last, team, created_by, app, exposed, created_at`

// Addons returns all addons, ordered by name and type.
func (db *DB) Addons(ctx context.Context) ([]hop3.Addon, error) {
	addons, err := all(ctx, db.read, db.scanAddon, "SELECT "+addonColumns+" FROM addons")
	if err != nil {
		return nil, fmt.Errorf("reading the addons: %w", err)
	}
	slices.SortFunc(addons, func(a, b hop3.Addon) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type))
	})
	return addons, nil
}

// Addon returns an addon, or a CodeNotFound error.
func (db *DB) Addon(ctx context.Context, id hop3.AddonID) (hop3.Addon, error) {
	return db.addon(ctx, db.read, id)
}

func (db *DB) addon(ctx context.Context, q querier, id hop3.AddonID) (hop3.Addon, error) {
	a, err := db.scanAddon(q.QueryRowContext(ctx, "SELECT "+addonColumns+" FROM addons WHERE type = $1 AND name = $2", id.Type, id.Name))
	if errors.Is(err, sql.ErrNoRows) {
		return a, hop3.Errorf(hop3.CodeNotFound, "There is no addon %s.", id)
	}
	if err != nil {
		return a, fmt.Errorf("reading the addon %s: %w", id, err)
	}
	return a, nil
}

func (db *DB) scanAddon(row scanner) (a hop3.Addon, err error) {
	var options, details, next, last, exposed string
	var created int64
	err = row.Scan(&a.Type, &a.Name, &a.Status, &a.Dedicated, &options, &details, &next, &last, &a.Team, &a.CreatedBy, &a.App, &exposed, &created)
	if err != nil {
		return a, err
	}
	a.CreatedAt = fromMicros(created)
	if err := json.Unmarshal([]byte(options), &a.Options); err != nil {
		return a, fmt.Errorf("reading the options of the addon %s: %w", a.ID(), err)
	}
	if err := json.Unmarshal([]byte(exposed), &a.Exposed); err != nil {
		return a, fmt.Errorf("reading how the addon %s is exposed: %w", a.ID(), err)
	}
	for _, d := range []struct {
		to   *hop3.AddonDetails
		from string
	}{{&a.Details, details}, {&a.Next, next}, {&a.Last, last}} {
		if d.from == "" {
			continue
		}
		opened, err := db.seal.openEnv(addonPlace(a.ID()), d.from)
		if err != nil {
			return a, err
		}
		*d.to = hop3.AddonDetails(opened)
	}
	return a, nil
}

// addonPlace is where the details of an addon are sealed for.
func addonPlace(id hop3.AddonID) string { return "addon " + id.Type + " " + id.Name }

// CreateAddon stores a new addon. It returns a CodeConflict error when there
// is one of its type and name.
func (db *DB) CreateAddon(ctx context.Context, a hop3.Addon, events ...hop3.Event) error {
	values, err := db.addonValues(a)
	if err != nil {
		return err
	}
	return db.change(ctx, func(tx *sql.Tx) error {
		created, err := exec(ctx, tx, `INSERT INTO addons (`+addonColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`,
			append([]any{a.Type, a.Name}, append(values, toMicros(now()))...)...)
		if err != nil {
			return fmt.Errorf("storing the addon %s: %w", a.ID(), err)
		}
		if !created {
			return hop3.Errorf(hop3.CodeConflict, "There is an addon %s already.", a.ID())
		}
		return nil
	}, events...)
}

// addonValues are the columns of an addon that may change.
func (db *DB) addonValues(a hop3.Addon) ([]any, error) {
	options, err := json.Marshal(a.Options)
	if err != nil {
		return nil, fmt.Errorf("storing the options of the addon %s: %w", a.ID(), err)
	}
	values := []any{string(a.Status), a.Dedicated, string(options)}
	for _, d := range []hop3.AddonDetails{a.Details, a.Next, a.Last} {
		text := ""
		if d != nil {
			if text, err = db.seal.sealEnv(addonPlace(a.ID()), hop3.Env(d)); err != nil {
				return nil, err
			}
		}
		values = append(values, text)
	}
	exposed, err := json.Marshal(a.Exposed)
	if err != nil {
		return nil, fmt.Errorf("storing how the addon %s is exposed: %w", a.ID(), err)
	}
	return append(values, a.Team, a.CreatedBy, a.App, string(exposed)), nil
}

// UpdateAddon reads the addon, lets change alter all of it but its type, name
// and age, and writes it back in one transaction.
func (db *DB) UpdateAddon(ctx context.Context, id hop3.AddonID, change func(*hop3.Addon) error, events ...hop3.Event) (hop3.Addon, error) {
	var a hop3.Addon
	err := db.change(ctx, func(tx *sql.Tx) (err error) {
		if a, err = db.addon(ctx, tx, id); err != nil {
			return err
		}
		if err := change(&a); err != nil {
			return err
		}
		return db.writeAddon(ctx, tx, a)
	}, events...)
	return a, err
}

func (db *DB) writeAddon(ctx context.Context, tx *sql.Tx, a hop3.Addon) error {
	values, err := db.addonValues(a)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE addons SET status = $1, dedicated = $2, options = $3, details = $4, next = $5, last = $6,
		team = $7, created_by = $8, app = $9, exposed = $10 WHERE type = $11 AND name = $12`, append(values, a.Type, a.Name)...)
	if err != nil {
		return fmt.Errorf("storing the addon %s: %w", a.ID(), err)
	}
	return nil
}

// RetireAddon makes an addon's status AddonDestroying, unless it is attached:
// that is a CodeConflict error that names the apps.
func (db *DB) RetireAddon(ctx context.Context, id hop3.AddonID, events ...hop3.Event) (hop3.Addon, error) {
	var a hop3.Addon
	err := db.change(ctx, func(tx *sql.Tx) (err error) {
		if a, err = db.addon(ctx, tx, id); err != nil {
			return err
		}
		apps, err := all(ctx, tx, func(row scanner) (app string, err error) { return app, row.Scan(&app) },
			"SELECT app FROM attachments WHERE type = $1 AND name = $2 ORDER BY app", id.Type, id.Name)
		if err != nil {
			return fmt.Errorf("reading what the addon %s is attached to: %w", id, err)
		}
		if len(apps) > 0 {
			return hop3.Errorf(hop3.CodeConflict, "The addon %s is attached to %s.", id, strings.Join(apps, ", ")).
				WithHint("`hop3 addon detach %s --app %s` takes it away from one.", id.Name, apps[0])
		}
		a.Status = hop3.AddonDestroying
		return db.writeAddon(ctx, tx, a)
	}, events...)
	return a, err
}

// DeleteAddon forgets an addon, which is attached to no app.
func (db *DB) DeleteAddon(ctx context.Context, id hop3.AddonID, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM addons WHERE type = $1 AND name = $2", id.Type, id.Name); err != nil {
			return fmt.Errorf("forgetting the addon %s: %w", id, err)
		}
		return nil
	}, events...)
}

// Attachments returns all attachments, ordered by app and, within one, by age.
func (db *DB) Attachments(ctx context.Context) ([]hop3.Attachment, error) {
	return db.attachments(ctx, "")
}

// AttachmentsOf returns the attachments of an app, the oldest first.
func (db *DB) AttachmentsOf(ctx context.Context, app string) ([]hop3.Attachment, error) {
	return db.attachments(ctx, " WHERE app = $1", app)
}

func (db *DB) attachments(ctx context.Context, which string, args ...any) ([]hop3.Attachment, error) {
	list, err := all(ctx, db.read, func(row scanner) (a hop3.Attachment, err error) {
		var at int64
		err = row.Scan(&a.App, &a.Type, &a.Name, &a.Primary, &at)
		a.At = fromMicros(at)
		return a, err
	}, "SELECT app, type, name, is_primary, at FROM attachments"+which, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the attachments: %w", err)
	}
	slices.SortFunc(list, func(a, b hop3.Attachment) int {
		return cmp.Or(strings.Compare(a.App, b.App), a.At.Compare(b.At), strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
	return list, nil
}

// SetAttachments makes list all that is attached to an app. Those without an
// age get this moment's. It returns a CodeNotFound error when an addon does
// not exist, CodeConflict when it is not ready.
func (db *DB) SetAttachments(ctx context.Context, app string, list []hop3.Attachment, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.app(ctx, tx, app); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM attachments WHERE app = $1", app); err != nil {
			return fmt.Errorf("storing the attachments of %s: %w", app, err)
		}
		for _, at := range list {
			addon, err := db.addon(ctx, tx, at.Addon())
			if err != nil {
				return err
			}
			if addon.Status != hop3.AddonReady {
				return hop3.Errorf(hop3.CodeConflict, "The addon %s is %s.", at.Addon(), addon.Status)
			}
			if at.At.IsZero() {
				at.At = now()
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO attachments (app, type, name, is_primary, at) VALUES ($1, $2, $3, $4, $5)",
				app, at.Type, at.Name, at.Primary, toMicros(at.At)); err != nil {
				return fmt.Errorf("storing the attachments of %s: %w", app, err)
			}
		}
		return nil
	}, events...)
}
