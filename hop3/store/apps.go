package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

const appColumns = `name, state, error, deploy_branch, live, env, scale, asleep, spec, created_by, created_at, updated_at, accounts, team, revision`

// App returns the app of this name, or a CodeNotFound error.
func (db *DB) App(ctx context.Context, name string) (hop3.App, error) {
	return db.app(ctx, db.read, name)
}

// CreateApp stores a new app. It returns a CodeConflict error when the name,
// or another one with the same hop3.HostLabel, is taken.
func (db *DB) CreateApp(ctx context.Context, app hop3.App, events ...hop3.Event) error {
	app.UpdatedAt = now()
	if app.CreatedAt.IsZero() {
		app.CreatedAt = app.UpdatedAt
	}
	if app.State == 0 {
		app.State = hop3.StateStopped
	}
	env, scale, spec, err := db.encodeApp(app)
	if err != nil {
		return err
	}
	accounts, err := db.sealAccounts(app)
	if err != nil {
		return err
	}
	label := hop3.HostLabel(app.Name)
	team := cmp.Or(app.Team, hop3.DefaultTeam)
	return db.changeApps(ctx, func(tx *sql.Tx, revision int64) error {
		if err := teamExists(ctx, tx, team); err != nil {
			return err
		}
		created, err := exec(ctx, tx, `INSERT INTO apps (name, label, state, error, deploy_branch, live,
				last_release, env, scale, asleep, spec, created_by, created_at, updated_at, accounts, team, revision)
			VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
			app.Name, label, int(app.State), clean(app.Error), app.DeployBranch, app.Live,
			env, scale, app.Asleep, spec, app.CreatedBy, toMicros(app.CreatedAt), toMicros(app.UpdatedAt), accounts, team, revision)
		if err != nil {
			return fmt.Errorf("creating app %s: %w", app.Name, err)
		}
		if created {
			return nil
		}
		var other string
		if err := tx.QueryRowContext(ctx, "SELECT name FROM apps WHERE label = $1", label).Scan(&other); err != nil {
			return fmt.Errorf("creating app %s: %w", app.Name, err)
		}
		if other == app.Name {
			return hop3.Errorf(hop3.CodeConflict, "App '%s' already exists.", app.Name)
		}
		return hop3.Errorf(hop3.CodeConflict, "App '%s' already exists.", other).
			WithHint("The names %s and %s would have the same address.", app.Name, other)
	}, events...)
}

// UpdateApp reads the app, lets change alter it, and writes it back in one
// transaction. An error of change is returned and nothing is written. The name
// cannot change.
func (db *DB) UpdateApp(ctx context.Context, name string, change func(*hop3.App) error, events ...hop3.Event) (hop3.App, error) {
	var app hop3.App
	err := db.changeApps(ctx, func(tx *sql.Tx, revision int64) (err error) {
		if app, err = db.app(ctx, tx, name); err != nil {
			return err
		}
		if err := change(&app); err != nil {
			return err
		}
		app.Name, app.UpdatedAt = name, now()
		env, scale, spec, err := db.encodeApp(app)
		if err != nil {
			return err
		}
		accounts, err := db.sealAccounts(app)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE apps SET state = $1, error = $2, deploy_branch = $3, live = $4,
				env = $5, scale = $6, asleep = $7, spec = $8, created_by = $9, created_at = $10, updated_at = $11, accounts = $12, revision = $13 WHERE name = $14`,
			int(app.State), clean(app.Error), app.DeployBranch, app.Live, env, scale, app.Asleep, spec,
			app.CreatedBy, toMicros(app.CreatedAt), toMicros(app.UpdatedAt), accounts, revision, name)
		if err != nil {
			return fmt.Errorf("updating app %s: %w", name, err)
		}
		return nil
	}, events...)
	if err != nil {
		return hop3.App{}, err
	}
	return app, nil
}

// DeleteApp deletes the app with its releases and hosts.
func (db *DB) DeleteApp(ctx context.Context, name string, events ...hop3.Event) error {
	return db.changeApps(ctx, func(tx *sql.Tx, _ int64) error {
		deleted, err := exec(ctx, tx, "DELETE FROM apps WHERE name = $1", name)
		if err != nil {
			return fmt.Errorf("deleting app %s: %w", name, err)
		}
		if !deleted {
			return appNotFound(name)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM moves WHERE app = $1", name); err != nil {
			return fmt.Errorf("forgetting the moves of %s: %w", name, err)
		}
		return nil
	}, events...)
}

func (db *DB) app(ctx context.Context, q querier, name string) (hop3.App, error) {
	row, err := db.scanApp(q.QueryRowContext(ctx, "SELECT "+appColumns+" FROM apps WHERE name = $1", name))
	if errors.Is(err, sql.ErrNoRows) {
		return hop3.App{}, appNotFound(name)
	}
	if err != nil {
		return hop3.App{}, fmt.Errorf("reading app %s: %w", name, err)
	}
	return row.App, nil
}

// appRow is an app, and when it was changed: see changeApps.
type appRow struct {
	hop3.App
	revision int64
}

func (db *DB) scanApp(row scanner) (app appRow, err error) {
	var env, scale, spec, accounts string
	var created, updated int64
	if err := row.Scan(&app.Name, &app.State, &app.Error, &app.DeployBranch, &app.Live,
		&env, &scale, &app.Asleep, &spec, &app.CreatedBy, &created, &updated, &accounts, &app.Team, &app.revision); err != nil {
		return appRow{}, err
	}
	app.CreatedAt, app.UpdatedAt = fromMicros(created), fromMicros(updated)
	if app.Env, err = db.seal.openEnv(appPlace(app.Name), env); err != nil {
		return appRow{}, err
	}
	if err := db.openAccounts(&app.App, accounts); err != nil {
		return appRow{}, err
	}
	if err := json.Unmarshal([]byte(scale), &app.Scale); err != nil {
		return appRow{}, fmt.Errorf("reading the scale of app %s: %w", app.Name, err)
	}
	return app, db.openSpec(&app.App, spec)
}

func (db *DB) encodeApp(app hop3.App) (env, scale, spec string, err error) {
	if env, err = db.seal.sealEnv(appPlace(app.Name), app.Env); err != nil {
		return "", "", "", err
	}
	if spec, err = db.sealSpec(app); err != nil {
		return "", "", "", err
	}
	counts := app.Scale
	if counts == nil {
		counts = map[string]int{}
	}
	text, err := json.Marshal(counts)
	return env, string(text), spec, err
}

// appPlace names the place of an app's sealed variables. No app's name
// contains a slash.
func appPlace(name string) string { return "app/" + name }

func appNotFound(name string) error {
	return hop3.Errorf(hop3.CodeNotFound, "App '%s' not found.", name)
}
