package addons

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/abilian/hop3/hop3"
)

// Actions implements hop3.AddonActions.
func (p *Postgres) Actions() []hop3.AddonAction {
	return []hop3.AddonAction{
		{Name: "query", Aliases: []string{"sql"}, Summary: "Run a statement of SQL as the app's user", Usage: "SQL…", Changes: true, Run: p.query},
		{Name: "activity", Aliases: []string{"ps"}, Summary: "Show what the connections do", Changes: true, Run: p.activity},
		{Name: "locks", Summary: "Show locks, and who waits for them", Run: p.locks},
		{Name: "settings", Summary: "Show the server's settings that are not the default", Run: p.settings},
		{Name: "extensions", Summary: "Show the extensions there are, and those in use", Run: p.listExtensions},
	}
}

// pgMaxRows bounds what a query shows.
const pgMaxRows = 1000

// query takes the statement as --command SQL, or as words.
func (p *Postgres) query(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	if len(args) > 0 && (args[0] == "--command" || args[0] == "-c") {
		args = args[1:]
	} else if len(args) > 0 {
		if text, ok := strings.CutPrefix(args[0], "--command="); ok {
			args = append([]string{text}, args[1:]...)
		}
	}
	text := strings.TrimSpace(strings.Join(args, " "))
	if text == "" {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "there is no statement to run").WithHint("Write it after the addon's name: hop3 addon postgres query %s \"SELECT count(*) FROM users\"", a.Name)
	}
	if strings.ContainsRune(text, 0) {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "the statement contains a NUL byte")
	}
	if strings.EqualFold(pgFirstWord(text), "COPY") {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "COPY does not work here").WithHint("Use SELECT, or a dump.")
	}
	conn, err := p.shell(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer conn.close()
	// One statement, values as text.
	result := conn.PgConn().ExecParams(ctx, text, nil, nil, nil, nil)
	var report hop3.AddonReport
	for _, f := range result.FieldDescriptions() {
		report.Headers = append(report.Headers, f.Name)
	}
	more := false
	for result.NextRow() {
		if len(report.Rows) == pgMaxRows {
			more = true
			break
		}
		row := make([]string, len(report.Headers))
		for i, v := range result.Values() {
			row[i] = string(v)
		}
		report.Rows = append(report.Rows, row)
	}
	if more {
		report.Text = "There are more than these 1000 rows."
		return report, nil // the connection is closed with the rest unread
	}
	tag, err := result.Close()
	if err != nil {
		return hop3.AddonReport{}, conn.objection(ctx, err)
	}
	if len(report.Headers) == 0 {
		report.Text = tag.String()
	}
	return report, nil
}

// shell logs in as the app does, with the search path that the app has.
func (p *Postgres) shell(ctx context.Context, a hop3.Addon) (*pgConn, error) {
	_, conn, err := p.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `SET search_path = "$user", public; SET statement_timeout = '60s'`, pgx.QueryExecModeSimpleProtocol); err != nil {
		conn.close()
		return nil, conn.failure(ctx, "be asked", err)
	}
	return conn, nil
}

// objection is what PostgreSQL has against a user's statement.
func (c *pgConn) objection(ctx context.Context, err error) error {
	var large *pgproto3.ExceededMaxBodyLenErr
	if errors.As(err, &large) {
		return hop3.Errorf(hop3.CodeInvalid, "a row of the result has more than %d MiB", pgMaxMessage>>20).WithHint("Select less of it, or dump the database.")
	}
	var said *pgconn.PgError
	if ctx.Err() != nil || !errors.As(err, &said) || strings.HasPrefix(said.Code, "57P") {
		return c.failure(ctx, "run the statement", err)
	}
	e := hop3.Errorf(hop3.CodeInvalid, "PostgreSQL: %s", said.Message)
	if said.Hint != "" {
		return e.WithHint("%s", said.Hint)
	}
	return e
}

func pgMessage(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Message
	}
	return err.Error()
}

// report runs a query of ours and shows its columns as text. As the superuser it
// does so where none of the addon's own functions are.
func (p *Postgres) report(ctx context.Context, a hop3.Addon, args []string, admin bool, headers []string, query string, values ...any) (hop3.AddonReport, error) {
	if len(args) > 0 {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "nothing follows the addon's name here")
	}
	d, err := pgDetailsOf(a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	var conn *pgConn
	if admin {
		conn, err = p.admin(ctx, d)
	} else {
		conn, err = p.app(ctx, d, d.database)
	}
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer conn.close()
	rows, err := conn.Query(ctx, query, values...)
	if err != nil {
		return hop3.AddonReport{}, conn.failure(ctx, "be asked", err)
	}
	report := hop3.AddonReport{Headers: headers}
	report.Rows, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]string, error) {
		row := make([]string, len(headers))
		into := make([]any, len(headers))
		for i := range row {
			into[i] = &row[i]
		}
		return row, r.Scan(into...)
	})
	if err != nil {
		return hop3.AddonReport{}, conn.failure(ctx, "be asked", err)
	}
	return report, nil
}

func (p *Postgres) activity(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	d, err := pgDetailsOf(a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	return p.report(ctx, a, args, true, []string{"PID", "User", "From", "State", "Since", "Waits for", "Statement"},
		`SELECT pid::text, coalesce(usename::text, ''), coalesce(host(client_addr), 'socket'), coalesce(state, ''),
			coalesce(date_trunc('second', now() - state_change)::text, ''), coalesce(wait_event_type || ' ' || wait_event, ''), left(coalesce(query, ''), 200)
		FROM pg_stat_activity WHERE datname = $1 ORDER BY state_change`, d.database)
}

func (p *Postgres) locks(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	return p.report(ctx, a, args, false, []string{"PID", "On", "Mode", "Granted", "Waits for"},
		`SELECT coalesce(pid::text, ''), coalesce(relation::regclass::text, locktype), mode, CASE WHEN granted THEN 'yes' ELSE 'no' END,
			array_to_string(pg_blocking_pids(pid), ', ')
		FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid() ORDER BY granted, pid, 2 LIMIT 1000`)
}

func (p *Postgres) settings(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	return p.report(ctx, a, args, false, []string{"Setting", "Value", "From"},
		`SELECT name, coalesce(current_setting(name, true), ''), source FROM pg_settings WHERE source NOT IN ('default', 'override', 'client', 'session') ORDER BY name`)
}

func (p *Postgres) listExtensions(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	return p.report(ctx, a, args, false, []string{"Extension", "Version", "In use", "About"},
		`SELECT name::text, coalesce(installed_version, default_version, ''), CASE WHEN installed_version IS NULL THEN 'no' ELSE 'yes' END, coalesce(comment, '')
		FROM pg_available_extensions WHERE installed_version IS NOT NULL OR name = ANY($1) ORDER BY name`, p.extensionsAllowed())
}
