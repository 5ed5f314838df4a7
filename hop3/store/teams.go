package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Teams returns all teams with their members, both ordered by name.
func (db *DB) Teams(ctx context.Context) ([]hop3.Team, error) {
	teams, err := all(ctx, db.read, scanTeam, "SELECT name, created_at FROM teams")
	if err != nil {
		return nil, fmt.Errorf("reading the teams: %w", err)
	}
	slices.SortFunc(teams, func(a, b hop3.Team) int { return strings.Compare(a.Name, b.Name) })
	type membership struct {
		team string
		hop3.Member
	}
	members, err := all(ctx, db.read, func(row scanner) (m membership, err error) {
		return m, row.Scan(&m.team, &m.Username, &m.Role)
	}, "SELECT team, username, role FROM team_members")
	if err != nil {
		return nil, fmt.Errorf("reading the members of teams: %w", err)
	}
	slices.SortFunc(members, func(a, b membership) int { return strings.Compare(a.Username, b.Username) })
	for i := range teams {
		for _, m := range members {
			if m.team == teams[i].Name {
				teams[i].Members = append(teams[i].Members, m.Member)
			}
		}
	}
	return teams, nil
}

// CreateTeam stores a new team without members. It returns a CodeConflict
// error when the name is taken.
func (db *DB) CreateTeam(ctx context.Context, name string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		created, err := exec(ctx, tx, "INSERT INTO teams (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, toMicros(now()))
		if err != nil {
			return fmt.Errorf("creating team %s: %w", name, err)
		}
		if !created {
			return hop3.Errorf(hop3.CodeConflict, "Team '%s' already exists.", name)
		}
		return nil
	}, events...)
}

// DeleteTeam deletes a team. It returns a CodeConflict error while apps belong
// to it.
func (db *DB) DeleteTeam(ctx context.Context, name string, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		var app string
		err := tx.QueryRowContext(ctx, "SELECT name FROM apps WHERE team = $1 ORDER BY name LIMIT 1", name).Scan(&app)
		if err == nil {
			return hop3.Errorf(hop3.CodeConflict, "The app '%s' belongs to team '%s'.", app, name).
				WithHint("`hop3 app transfer TEAM --app %s` gives it to another team.", app)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("looking for the apps of team %s: %w", name, err)
		}
		deleted, err := exec(ctx, tx, "DELETE FROM teams WHERE name = $1", name)
		if err != nil {
			return fmt.Errorf("deleting team %s: %w", name, err)
		}
		if !deleted {
			return teamNotFound(name)
		}
		return nil
	}, events...)
}

// SetMember gives a user a role in a team; with RoleNone they are no member any
// more. It is a CodeNotFound error when the team or the user does not exist,
// and when a user leaves a team they are not in.
func (db *DB) SetMember(ctx context.Context, team string, m hop3.Member, events ...hop3.Event) error {
	return db.change(ctx, func(tx *sql.Tx) error {
		if err := teamExists(ctx, tx, team); err != nil {
			return err
		}
		if _, err := db.user(ctx, tx, m.Username); err != nil {
			return err
		}
		return setMember(ctx, tx, team, m)
	}, events...)
}

func setMember(ctx context.Context, tx *sql.Tx, team string, m hop3.Member) error {
	done, err := false, error(nil)
	if m.Role == hop3.RoleNone {
		done, err = exec(ctx, tx, "DELETE FROM team_members WHERE team = $1 AND username = $2", team, m.Username)
	} else {
		done, err = exec(ctx, tx, `INSERT INTO team_members (team, username, role) VALUES ($1, $2, $3)
			ON CONFLICT (team, username) DO UPDATE SET role = excluded.role`, team, m.Username, int(m.Role))
	}
	if err != nil {
		return fmt.Errorf("changing the members of team %s: %w", team, err)
	}
	if !done {
		return hop3.Errorf(hop3.CodeNotFound, "User '%s' is not in team '%s'.", m.Username, team)
	}
	return nil
}

func teamExists(ctx context.Context, q querier, name string) error {
	_, err := scanTeam(q.QueryRowContext(ctx, "SELECT name, created_at FROM teams WHERE name = $1", name))
	if errors.Is(err, sql.ErrNoRows) {
		return teamNotFound(name)
	}
	if err != nil {
		return fmt.Errorf("reading team %s: %w", name, err)
	}
	return nil
}

func scanTeam(row scanner) (hop3.Team, error) {
	var t hop3.Team
	var created int64
	err := row.Scan(&t.Name, &created)
	t.CreatedAt = fromMicros(created)
	return t, err
}

func teamNotFound(name string) error {
	return hop3.Errorf(hop3.CodeNotFound, "Team '%s' not found.", name)
}
