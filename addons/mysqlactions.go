package addons

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Actions are query, activity and settings.
func (m *MySQL) Actions() []hop3.AddonAction {
	return []hop3.AddonAction{
		{Name: "query", Aliases: []string{"sql"}, Summary: "Run a statement of SQL as the app's user", Usage: "SQL…", Changes: true, Run: m.query},
		{Name: "activity", Aliases: []string{"ps"}, Summary: "Show what the connections do", Changes: true, Run: m.activity},
		{Name: "settings", Summary: "Show settings of the server that matter to apps", Run: m.settings},
	}
}

// mostRows bounds what a query shows.
const mostRows = 1000

func (m *MySQL) query(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	text := strings.TrimSpace(strings.Join(givenCommand(args), " "))
	switch {
	case text == "":
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "there is no statement to run").WithHint("Write it after the addon's name: hop3 addon mysql query %s \"SELECT count(*) FROM users\"", a.Name)
	case strings.ContainsRune(text, 0):
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "the statement contains a NUL byte")
	case strings.EqualFold(strings.Fields(text)[0], "LOAD"):
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "LOAD does not work here: there is no file").WithHint("Use INSERT, or a dump.")
	}
	app, err := m.asApp(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer app.close()
	report, err := app.report(ctx, text)
	if mysqlNumber(err) != 0 && ctx.Err() == nil {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "MySQL: %s", printable(serverSays(err)))
	}
	if err != nil {
		return hop3.AddonReport{}, app.failed(ctx, err)
	}
	return report, nil
}

// report runs a statement, and shows its rows, or how many it changed.
func (c *mysqlConn) report(ctx context.Context, text string, args ...any) (report hop3.AddonReport, err error) {
	conn, err := c.Conn(ctx)
	if err != nil {
		return report, err
	}
	defer conn.Close()
	rows, err := conn.QueryContext(ctx, text, args...)
	if err != nil {
		return report, err
	}
	defer rows.Close()
	if report.Headers, err = rows.Columns(); err != nil {
		return report, err
	}
	values := make([]sql.NullString, len(report.Headers))
	into := make([]any, len(report.Headers))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if len(report.Rows) == mostRows {
			report.Text = fmt.Sprintf("There are more than these %d rows.", mostRows)
			return report, nil
		}
		if err := rows.Scan(into...); err != nil {
			return report, err
		}
		row := make([]string, len(values))
		for i, v := range values {
			if row[i] = "NULL"; v.Valid {
				row[i] = printable(v.String)
			}
		}
		report.Rows = append(report.Rows, row)
	}
	if err := rows.Close(); err != nil {
		return report, err
	}
	if len(report.Headers) > 0 || rows.Err() != nil {
		return report, rows.Err()
	}
	report.Headers = nil
	var changed int64
	if err := conn.QueryRowContext(ctx, "SELECT ROW_COUNT()").Scan(&changed); err != nil {
		return report, err
	}
	report.Text = "Done."
	if changed >= 0 {
		report.Text = fmt.Sprintf("Done: %d rows changed.", changed)
	}
	return report, nil
}

func (m *MySQL) activity(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	return m.adminReport(ctx, a, args, `SELECT id AS "Connection", user AS "User", host AS "From", command AS "Does", time AS "Seconds", COALESCE(state, '') AS "State", COALESCE(info, '') AS "Statement"
		FROM information_schema.processlist WHERE db = ? ORDER BY time DESC, id`, a.Details[mysqlDatabase])
}

// shownSettings are those that make apps behave as they do.
var shownSettings = []string{
	"version", "character_set_server", "collation_server", "sql_mode", "time_zone", "max_connections", "max_allowed_packet", "innodb_buffer_pool_size",
	"innodb_flush_log_at_trx_commit", "wait_timeout", "interactive_timeout", "lock_wait_timeout", "innodb_lock_wait_timeout", "tmp_table_size", "max_heap_table_size",
	"lower_case_table_names", "event_scheduler", "log_bin", "tx_isolation", "transaction_isolation", "slow_query_log", "long_query_time",
}

func (m *MySQL) settings(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	names := make([]any, len(shownSettings))
	for i, s := range shownSettings {
		names[i] = s
	}
	return m.adminReport(ctx, a, args, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ")+")", names...)
}

func (m *MySQL) adminReport(ctx context.Context, a hop3.Addon, args []string, query string, values ...any) (hop3.AddonReport, error) {
	if len(args) > 0 {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "nothing follows the addon's name here")
	}
	admin, err := m.admin(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer admin.close()
	report, err := admin.report(ctx, query, values...)
	return report, admin.failed(ctx, err)
}
