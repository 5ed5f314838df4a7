package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Rights returns all that a user may do; nothing for one who is disabled or
// does not exist. A grant to a team gives each member no more than their role
// in it.
func (db *DB) Rights(ctx context.Context, username string) (hop3.Rights, error) {
	r := hop3.Rights{Teams: map[string]hop3.Role{}, Apps: map[string]hop3.Role{}}
	var admin, active bool
	err := db.read.QueryRowContext(ctx, "SELECT admin, active, role FROM users WHERE username = $1", username).Scan(&admin, &active, &r.Role)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && !active:
		return hop3.Rights{}, nil
	case err != nil:
		return hop3.Rights{}, fmt.Errorf("reading the rights of %s: %w", username, err)
	case admin:
		r.Role = hop3.RoleAdmin
	}
	type held struct {
		kind, name string
		role, most hop3.Role
	}
	rows, err := all(ctx, db.read, func(row scanner) (h held, err error) {
		return h, row.Scan(&h.kind, &h.name, &h.role, &h.most)
	}, `SELECT 'team', team, role, role FROM team_members WHERE username = $1
		UNION ALL SELECT 'app', app, role, role FROM user_grants WHERE username = $1
		UNION ALL SELECT 'app', g.app, g.role, m.role FROM team_grants g JOIN team_members m ON m.team = g.team WHERE m.username = $1`, username)
	if err != nil {
		return hop3.Rights{}, fmt.Errorf("reading the rights of %s: %w", username, err)
	}
	for _, h := range rows {
		to := r.Apps
		if h.kind == "team" {
			to = r.Teams
		}
		to[h.name] = max(to[h.name], min(h.role, h.most))
	}
	return r, nil
}

// Grants returns what was granted on an app: to users, then to teams, each
// ordered by name.
func (db *DB) Grants(ctx context.Context, app string) ([]hop3.Grant, error) {
	grants, err := all(ctx, db.read, func(row scanner) (g hop3.Grant, err error) {
		return g, row.Scan(&g.App, &g.User, &g.Team, &g.Role)
	}, `SELECT app, username, '', role FROM user_grants WHERE app = $1
		UNION ALL SELECT app, '', team, role FROM team_grants WHERE app = $1`, app)
	if err != nil {
		return nil, fmt.Errorf("reading who may use app %s: %w", app, err)
	}
	slices.SortFunc(grants, func(a, b hop3.Grant) int {
		return cmp.Or(strings.Compare(a.Team, b.Team), strings.Compare(a.User, b.User))
	})
	return grants, nil
}

// SetGrant grants a role on an app; with RoleNone it takes the grant away, and
// there must be one. It is a CodeNotFound error when the app, the user or the
// team does not exist.
func (db *DB) SetGrant(ctx context.Context, g hop3.Grant, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if _, err := db.app(ctx, tx, g.App); err != nil {
			return err
		}
		table, column, name, err := "user_grants", "username", g.User, error(nil)
		if g.Team != "" {
			table, column, name = "team_grants", "team", g.Team
			err = teamExists(ctx, tx, name)
		} else {
			_, err = db.user(ctx, tx, name)
		}
		if err != nil {
			return err
		}
		done := false
		if g.Role == hop3.RoleNone {
			done, err = exec(ctx, tx, "DELETE FROM "+table+" WHERE app = $1 AND "+column+" = $2", g.App, name)
		} else {
			done, err = exec(ctx, tx, "INSERT INTO "+table+" (app, "+column+`, role) VALUES ($1, $2, $3)
				ON CONFLICT (app, `+column+") DO UPDATE SET role = excluded.role", g.App, name, int(g.Role))
		}
		if err != nil {
			return fmt.Errorf("changing who may use app %s: %w", g.App, err)
		}
		if !done {
			return hop3.Errorf(hop3.CodeNotFound, "'%s' was granted nothing on app '%s'.", name, g.App)
		}
		return nil
	}, events...)
}

// TransferApp gives an app to another team.
func (db *DB) TransferApp(ctx context.Context, app, team string, events ...hop3.Event) error {
	return db.changeApps(ctx, func(tx *sql.Tx, revision int64) error {
		if err := teamExists(ctx, tx, team); err != nil {
			return err
		}
		done, err := exec(ctx, tx, "UPDATE apps SET team = $1, revision = $2 WHERE name = $3", team, revision, app)
		if err != nil {
			return fmt.Errorf("giving app %s to team %s: %w", app, team, err)
		}
		if !done {
			return appNotFound(app)
		}
		return nil
	}, events...)
}
