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

const releaseColumns = `app, number, kind, status, build, env, spec, error, created_at, live_at`

// releaseSpec is the part of a release that no query asks for, as JSON.
type releaseSpec struct {
	Commit       string                  `json:"commit,omitempty"`
	Branch       string                  `json:"branch,omitempty"`
	Author       string                  `json:"author,omitempty"`
	Subject      string                  `json:"subject,omitempty"`
	User         string                  `json:"user,omitempty"`
	Artifact     hop3.Artifact           `json:"artifact"`
	Origins      map[string]string       `json:"origins,omitempty"`
	Processes    []hop3.Process          `json:"processes,omitempty"`
	Health       hop3.HealthCheck        `json:"health"`
	StartTimeout time.Duration           `json:"start_timeout,omitempty"`
	Hosts        []string                `json:"hosts,omitempty"`
	AllowHTTP    bool                    `json:"allow_http,omitempty"`
	HTTP         *hop3.HTTPPolicy        `json:"http,omitempty"`
	HTTPLayers   hop3.HTTPLayers         `json:"http_layers,omitzero"`
	WAF          *hop3.WAF               `json:"waf,omitempty"`
	Limits       hop3.Limits             `json:"limits,omitzero"`
	Scaling      map[string]hop3.Scaling `json:"scaling,omitempty"`
	Cron         []hop3.CronEntry        `json:"cron,omitempty"`
	Volumes      []hop3.Volume           `json:"volumes,omitempty"`
	Ports        []hop3.Port             `json:"ports,omitempty"`
	Static       map[string]string       `json:"static,omitempty"`
	Keep         int                     `json:"keep,omitempty"`
	Backup       hop3.BackupPolicy       `json:"backup,omitzero"`
	Ref          *hop3.RefMove           `json:"ref,omitempty"`
	Took         time.Duration           `json:"took,omitempty"`
}

// NewRelease stores r under the app's next number, which is never used twice,
// and returns it with Number and CreatedAt set.
func (db *DB) NewRelease(ctx context.Context, r hop3.Release) (hop3.Release, error) {
	err := db.change(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx,
			"UPDATE apps SET last_release = last_release + 1 WHERE name = $1 RETURNING last_release", r.App).Scan(&r.Number)
		if errors.Is(err, sql.ErrNoRows) {
			return appNotFound(r.App)
		}
		if err != nil {
			return fmt.Errorf("numbering a release of %s: %w", r.App, err)
		}
		r.CreatedAt = now()
		env, spec, err := db.encodeRelease(r)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO releases (app, number, kind, status, build, env, spec, error, created_at, live_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			r.App, r.Number, string(r.Kind), string(r.Status), r.Build, env, spec, clean(r.Error),
			toMicros(r.CreatedAt), toMicros(r.LiveAt))
		if err != nil {
			return fmt.Errorf("storing release %d of %s: %w", r.Number, r.App, err)
		}
		return nil
	})
	if err != nil {
		return hop3.Release{}, err
	}
	return r, nil
}

// Release returns a release of an app, or a CodeNotFound error.
func (db *DB) Release(ctx context.Context, app string, number int) (hop3.Release, error) {
	return db.release(ctx, db.read, app, number)
}

// Releases returns the releases of an app, the newest first.
func (db *DB) Releases(ctx context.Context, app string) ([]hop3.Release, error) {
	if _, err := db.app(ctx, db.read, app); err != nil {
		return nil, err
	}
	releases, err := all(ctx, db.read, db.scanRelease,
		"SELECT "+releaseColumns+" FROM releases WHERE app = $1 ORDER BY number DESC", app)
	if err != nil {
		return nil, fmt.Errorf("reading the releases of %s: %w", app, err)
	}
	return releases, nil
}

// UpdateRelease reads a release, lets change alter it, and writes it back in
// one transaction. An error of change is returned and nothing is written. App
// and Number cannot change.
func (db *DB) UpdateRelease(ctx context.Context, app string, number int, change func(*hop3.Release) error, events ...hop3.Event) (hop3.Release, error) {
	var r hop3.Release
	err := db.change(ctx, func(tx *sql.Tx) (err error) {
		if r, err = db.release(ctx, tx, app, number); err != nil {
			return err
		}
		if err := change(&r); err != nil {
			return err
		}
		r.App, r.Number = app, number
		return db.writeRelease(ctx, tx, r)
	}, events...)
	if err != nil {
		return hop3.Release{}, err
	}
	return r, nil
}

// DeleteRelease forgets a release, not its number. The live one cannot be
// deleted: that is a CodeConflict error.
func (db *DB) DeleteRelease(ctx context.Context, app string, number int, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		r, err := db.release(ctx, tx, app, number)
		if err != nil {
			return err
		}
		if r.Status == hop3.ReleaseLive {
			return hop3.Errorf(hop3.CodeConflict, "Release %d of app '%s' is live.", number, app)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM releases WHERE app = $1 AND number = $2", app, number); err != nil {
			return fmt.Errorf("deleting release %d of %s: %w", number, app, err)
		}
		return nil
	}, events...)
}

func (db *DB) writeRelease(ctx context.Context, tx *sql.Tx, r hop3.Release) error {
	env, spec, err := db.encodeRelease(r)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE releases SET kind = $1, status = $2, build = $3, env = $4, spec = $5,
			error = $6, created_at = $7, live_at = $8 WHERE app = $9 AND number = $10`,
		string(r.Kind), string(r.Status), r.Build, env, spec, clean(r.Error),
		toMicros(r.CreatedAt), toMicros(r.LiveAt), r.App, r.Number)
	if err != nil {
		return fmt.Errorf("updating release %d of %s: %w", r.Number, r.App, err)
	}
	return nil
}

func (db *DB) release(ctx context.Context, q querier, app string, number int) (hop3.Release, error) {
	r, err := db.scanRelease(q.QueryRowContext(ctx,
		"SELECT "+releaseColumns+" FROM releases WHERE app = $1 AND number = $2", app, number))
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := db.app(ctx, q, app); err != nil {
			return r, err
		}
		return r, hop3.Errorf(hop3.CodeNotFound, "Release %d of app '%s' not found.", number, app)
	}
	if err != nil {
		return r, fmt.Errorf("reading release %d of %s: %w", number, app, err)
	}
	return r, nil
}

func (db *DB) scanRelease(row scanner) (r hop3.Release, err error) {
	var env, spec string
	var created, live int64
	if err := row.Scan(&r.App, &r.Number, &r.Kind, &r.Status, &r.Build, &env, &spec, &r.Error, &created, &live); err != nil {
		return hop3.Release{}, err
	}
	r.CreatedAt, r.LiveAt = fromMicros(created), fromMicros(live)
	if r.Env, err = db.seal.openEnv(releasePlace(r), env); err != nil {
		return hop3.Release{}, err
	}
	var s releaseSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return hop3.Release{}, fmt.Errorf("reading release %d of %s: %w", r.Number, r.App, err)
	}
	r.Commit, r.Branch, r.Author, r.Subject, r.User = s.Commit, s.Branch, s.Author, s.Subject, s.User
	r.Artifact, r.Processes, r.Health, r.StartTimeout = s.Artifact, s.Processes, s.Health, s.StartTimeout
	r.Hosts, r.AllowHTTP, r.Ref, r.Took = s.Hosts, s.AllowHTTP, s.Ref, s.Took
	r.Origins, r.Limits, r.Scaling, r.Cron = s.Origins, s.Limits, s.Scaling, s.Cron
	r.HTTP, r.HTTPLayers, r.WAF = s.HTTP, s.HTTPLayers, s.WAF
	r.Volumes, r.Ports, r.Static, r.Keep, r.Backup = s.Volumes, s.Ports, s.Static, s.Keep, s.Backup
	return r, nil
}

func (db *DB) encodeRelease(r hop3.Release) (env, spec string, err error) {
	if env, err = db.seal.sealEnv(releasePlace(r), r.Env); err != nil {
		return "", "", err
	}
	text, err := json.Marshal(releaseSpec{
		Commit: r.Commit, Branch: r.Branch, Author: r.Author, Subject: r.Subject, User: r.User,
		Artifact: r.Artifact, Processes: r.Processes, Health: r.Health, StartTimeout: r.StartTimeout,
		HTTP: r.HTTP, HTTPLayers: r.HTTPLayers, WAF: r.WAF,
		Hosts: r.Hosts, AllowHTTP: r.AllowHTTP, Ref: r.Ref, Took: r.Took,
		Origins: r.Origins, Limits: r.Limits, Scaling: r.Scaling, Cron: r.Cron,
		Volumes: r.Volumes, Ports: r.Ports, Static: r.Static, Keep: r.Keep, Backup: r.Backup,
	})
	return env, string(text), err
}

func releasePlace(r hop3.Release) string {
	return appPlace(r.App) + "/release/" + strconv.Itoa(r.Number)
}
