package addons

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/abilian/hop3/addons/sqldump"
	"github.com/abilian/hop3/hop3"
)

// Restore loads a dump into a database beside the addon's, as a user who may do
// nothing elsewhere, and then exchanges the tables of the two in one statement.
// Views, triggers, routines and events cannot be moved: when the dump has shown
// that it can make them, they are made again by the addon's user, to whom they
// then belong.
func (m *MySQL) Restore(ctx context.Context, a hop3.Addon, in io.Reader) error {
	app, err := m.asApp(ctx, a)
	if err != nil {
		return err
	}
	defer app.close()
	admin, err := m.admin(ctx, a)
	if err != nil {
		return err
	}
	defer admin.close()
	l := &mysqlLoad{addon: a, names: mysqlNames(a.Name), database: a.Details[mysqlDatabase], admin: admin, app: app}
	defer l.clear(context.WithoutCancel(ctx), false)
	if err := l.prepare(ctx); err != nil {
		return err
	}
	loader, err := m.asLoader(ctx, l)
	if err != nil {
		return err
	}
	sql, err := unzipped(in)
	if err == nil {
		err = l.load(ctx, loader, sql)
	}
	loader.close()
	if err != nil {
		return err
	}
	return l.exchange(ctx)
}

// mysqlLoad is a restore on its way.
type mysqlLoad struct {
	addon    hop3.Addon
	names    names
	database string
	password string // of the loader
	admin    *mysqlConn
	app      *mysqlConn
	programs []string // what makes views, triggers, routines and events, with the settings for each
	size     int
	keep     bool // the old tables: something went wrong after the exchange
}

// maxPrograms is the most that views and the like may take: they are in memory.
const maxPrograms = 16 << 20

func (m *MySQL) asLoader(ctx context.Context, l *mysqlLoad) (*mysqlConn, error) {
	config := l.app.config.Clone()
	config.User, config.Passwd, config.DBName = l.names.loader, l.password, l.names.loading
	return connectMySQL(ctx, config, l.app.own)
}

// prepare makes an empty database, and who may load into it.
func (l *mysqlLoad) prepare(ctx context.Context) error {
	if err := l.clear(ctx, true); err != nil {
		return err
	}
	for _, name := range []string{l.names.loading, l.names.replaced} {
		if err := l.admin.exec(ctx, "CREATE DATABASE "+quoteName(name)+" CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"); err != nil {
			return err
		}
	}
	l.password = password()
	return l.admin.letIn(ctx, l.names.loader, l.password, l.names.loading)
}

// clear removes what was made for the time of a restore.
func (l *mysqlLoad) clear(ctx context.Context, all bool) error {
	err := l.admin.removeUser(ctx, l.names.loader)
	for _, name := range []string{l.names.loading, l.names.replaced} {
		if name == l.names.replaced && l.keep && !all {
			continue
		}
		err = errors.Join(err, l.admin.exec(ctx, "DROP DATABASE IF EXISTS "+quoteName(name)))
	}
	return err
}

// load executes the statements of a dump, and keeps those that are needed again.
func (l *mysqlLoad) load(ctx context.Context, loader *mysqlConn, in io.Reader) error {
	conn, err := loader.Conn(ctx)
	if err != nil {
		return loader.failed(ctx, err)
	}
	defer conn.Close()
	s := sqldump.NewScanner(in)
	statements := 0
	for {
		st, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("reading the dump: %w", err)
		}
		kind := st.Kind()
		if err := refuse(kind, st); err != nil {
			return err
		}
		if kind == sqldump.Ignored {
			continue
		}
		statements++
		text := string(st.Text)
		if kind == sqldump.Program {
			text = sqldump.WithoutDefiner(text)
		}
		if kind != sqldump.Data {
			if l.size += len(text); l.size > maxPrograms {
				return hop3.Errorf(hop3.CodeInvalid, "the dump has more than %d MiB of views, triggers, routines and events", maxPrograms>>20).WithHint("Leave some out.")
			}
			l.programs = append(l.programs, text)
		}
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return loader.failedAt(ctx, err, st)
		}
	}
	if !s.Whole() || statements == 0 && !s.Completed() {
		return hop3.Errorf(hop3.CodeInvalid, "the dump is not whole: it ends early").
			WithHint("Take another one. One of mysqldump ends with the line `-- Dump completed`.")
	}
	return nil
}

// refuse refuses what has no place in the dump of one database.
func refuse(kind sqldump.Kind, st sqldump.Statement) error {
	switch kind {
	case sqldump.Refused:
		return hop3.Errorf(hop3.CodeInvalid, "line %d of the dump has %s", st.Line, excerpt(st.Text)).
			WithHint("A dump is what mysqldump or mariadb-dump write, and has tables, views, triggers, routines and events.")
	case sqldump.OtherBase:
		return hop3.Errorf(hop3.CodeInvalid, "line %d of the dump goes to another database: %s", st.Line, excerpt(st.Text)).
			WithHint("Dump one database, and without the option --databases: mysqldump shop >shop.sql")
	}
	return nil
}

// excerpt is the beginning of a statement, fit for a terminal.
func excerpt(text []byte) string {
	const most = 60
	short := string(bytes.ToValidUTF8(text[:min(len(text), most)], nil))
	if len(text) > most {
		short += "…"
	}
	return fmt.Sprintf("%q", short)
}

// failedAt is the error of a statement of a dump that the server refused.
func (c *mysqlConn) failedAt(ctx context.Context, err error, st sqldump.Statement) error {
	if mysqlNumber(err) == 0 || ctx.Err() != nil {
		return c.failed(ctx, err)
	}
	e := hop3.Errorf(hop3.CodeInvalid, "line %d of the dump, %s: %s", st.Line, excerpt(st.Text), serverSays(err))
	e.Err = err
	return e.WithHint("Nothing of what the addon holds was changed. The dump may be of a newer server, or damaged.")
}

// exchange has the addon hold what was loaded.
func (l *mysqlLoad) exchange(ctx context.Context) error {
	old, err := l.admin.programs(ctx, l.database)
	if err != nil {
		return err
	}
	conn, err := l.admin.Conn(ctx)
	if err != nil {
		return l.admin.failed(ctx, err)
	}
	defer conn.Close()
	run := func(statement string) error {
		_, err := conn.ExecContext(ctx, statement)
		return l.admin.failed(ctx, err)
	}
	loaded, err := l.admin.programs(ctx, l.names.loading)
	if err != nil {
		return err
	}
	for _, p := range loaded { // a table with a trigger cannot leave its database
		if p.noun == "TRIGGER" {
			err = errors.Join(err, run(p.drop(l.names.loading)))
		}
	}
	rename, renameErr := l.renames(ctx)
	if err = errors.Join(err, renameErr, run("SET foreign_key_checks = 0")); err != nil {
		return err
	}
	for _, p := range old {
		if p.noun == "TRIGGER" {
			err = errors.Join(err, run(p.drop(l.database)))
		}
	}
	if err == nil && rename != "" {
		err = run(rename)
	}
	if err != nil {
		return l.putBack(context.WithoutCancel(ctx), conn, old, err)
	}
	for _, p := range old {
		if p.noun != "TRIGGER" {
			err = errors.Join(err, run(p.drop(l.database)))
		}
	}
	if err == nil {
		err = l.makePrograms(ctx)
	}
	if err != nil {
		l.keep = true
		e := hop3.Errorf(hop3.CodeOf(err), "%s has the tables of the dump, but not all of its views, triggers, routines and events: %s", l.addon.ID(), hop3.MessageOf(err))
		e.Err = err
		return e.WithHint("Restore it again. Until then the tables it had are in the database %s.", l.names.replaced)
	}
	return nil
}

// renames is the statement that moves all tables, those of the addon out and
// those of the dump in; "" when there are none.
func (l *mysqlLoad) renames(ctx context.Context) (string, error) {
	var moves []string
	for _, move := range [][2]string{{l.database, l.names.replaced}, {l.names.loading, l.database}} {
		tables, err := l.admin.tables(ctx, move[0], "BASE TABLE", "SYSTEM VERSIONED", "SEQUENCE")
		if err != nil {
			return "", err
		}
		for _, t := range tables {
			moves = append(moves, quoteName(move[0])+"."+quoteName(t)+" TO "+quoteName(move[1])+"."+quoteName(t))
		}
	}
	if moves == nil {
		return "", nil
	}
	return "RENAME TABLE " + strings.Join(moves, ", "), nil
}

// putBack makes the triggers again that were dropped for an exchange that did
// not happen.
func (l *mysqlLoad) putBack(ctx context.Context, conn *sql.Conn, old []mysqlProgram, cause error) error {
	var lost []string
	for _, p := range old {
		if p.noun != "TRIGGER" {
			continue
		}
		const there = 1359 // was not dropped
		for _, statement := range []string{"USE " + quoteName(l.database), "SET sql_mode = " + quoteText(p.mode), p.create} {
			if _, err := conn.ExecContext(ctx, statement); err != nil && mysqlNumber(err) != there {
				lost = append(lost, p.name)
				break
			}
		}
	}
	if lost == nil {
		return cause
	}
	e := hop3.Errorf(hop3.CodeOf(cause), "%s holds what it held before, but for the triggers %s: %s", l.addon.ID(), strings.Join(lost, ", "), hop3.MessageOf(cause))
	e.Err = cause
	return e.WithHint("Restore again.")
}

// makePrograms makes views, triggers, routines and events as the addon's user.
func (l *mysqlLoad) makePrograms(ctx context.Context) error {
	conn, err := l.app.Conn(ctx)
	if err != nil {
		return l.app.failed(ctx, err)
	}
	defer conn.Close()
	for _, statement := range l.programs {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return l.app.failed(ctx, err)
		}
	}
	return nil
}

// mysqlProgram is a view, trigger, routine or event.
type mysqlProgram struct {
	noun, name   string
	create, mode string // of a trigger
}

func (p mysqlProgram) drop(database string) string {
	return "DROP " + p.noun + " IF EXISTS " + quoteName(database) + "." + quoteName(p.name)
}

// programs lists those of a database.
func (c *mysqlConn) programs(ctx context.Context, database string) (list []mysqlProgram, err error) {
	for _, q := range [][2]string{
		{"TRIGGER", "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = ? ORDER BY created, action_order"},
		{"VIEW", "SELECT table_name FROM information_schema.views WHERE table_schema = ?"},
		{"EVENT", "SELECT event_name FROM information_schema.events WHERE event_schema = ?"},
		{"PROCEDURE", "SELECT routine_name FROM information_schema.routines WHERE routine_schema = ? AND routine_type = 'PROCEDURE'"},
		{"FUNCTION", "SELECT routine_name FROM information_schema.routines WHERE routine_schema = ? AND routine_type = 'FUNCTION'"},
		{"PACKAGE", "SELECT routine_name FROM information_schema.routines WHERE routine_schema = ? AND routine_type = 'PACKAGE'"},
	} {
		names, err := c.list(ctx, q[1], database)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			p := mysqlProgram{noun: q[0], name: name}
			if p.noun == "TRIGGER" {
				if p.mode, p.create, err = c.trigger(ctx, database, name); err != nil {
					return nil, err
				}
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// trigger returns how a trigger is made. How many columns that has differs from
// server to server: the first are its name, mode and statement.
func (c *mysqlConn) trigger(ctx context.Context, database, name string) (mode, create string, err error) {
	rows, err := c.QueryContext(ctx, "SHOW CREATE TRIGGER "+quoteName(database)+"."+quoteName(name))
	if err != nil {
		return "", "", c.failed(ctx, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", "", c.failed(ctx, err)
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if rows.Next() {
		err = rows.Scan(into...)
	}
	if err = errors.Join(err, rows.Err()); err == nil && len(values) > 2 {
		mode, create = values[1].String, values[2].String
	}
	return mode, create, c.failed(ctx, err)
}

// quoteText quotes a text that has no backslash of meaning: names of modes.
func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
