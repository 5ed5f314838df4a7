package addons

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/addons/sqldump"
	"github.com/abilian/hop3/hop3"
)

// DumpSuffix returns ".sql".
func (*MySQL) DumpSuffix() string { return ".sql" }

// Dump has mariadb-dump or mysqldump write the database as it is at one moment,
// and counts what is in what it wrote. Tables of engines without transactions,
// such as MyISAM, may be of a later moment.
func (m *MySQL) Dump(ctx context.Context, a hop3.Addon, w io.Writer) (hop3.Inventory, error) {
	app, err := m.asApp(ctx, a) // there is something to dump
	if err != nil {
		return nil, err
	}
	app.close()
	config, err := m.adminConfig(a)
	if err != nil {
		return nil, err
	}
	tool := program("mariadb-dump", "mysqldump")
	if tool == "" {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "mariadb-dump is not installed on this server").
			WithHint("The admin runs: apt install mariadb-client")
	}
	dir, err := os.MkdirTemp("", "hop3-mysql-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	login := filepath.Join(dir, "login.cnf")
	if err := os.WriteFile(login, []byte(mysqlLogin(config.Net, config.Addr, config.User, config.Passwd)), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var said bytes.Buffer
	c := exec.CommandContext(ctx, tool, "--defaults-file="+login, "--single-transaction", "--quick", "--routines", "--triggers", "--events",
		"--hex-blob", "--no-tablespaces", "--default-character-set=utf8mb4", "--max-allowed-packet=1G", a.Details[mysqlDatabase])
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8"}
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("running %s: %w", filepath.Base(tool), err)
	}
	kept := &keepsError{Writer: w}
	inventory, err := countDump(io.TeeReader(out, kept))
	if err != nil {
		cancel() // it waits for a reader
	}
	ended := c.Wait()
	switch {
	case kept.err != nil:
		return nil, kept.err
	case ctx.Err() != nil && err == nil:
		return nil, ctx.Err()
	case ended != nil && said.Len() > 0:
		return nil, unavailable(ended, fmt.Sprintf("%s failed: %s", filepath.Base(tool), strings.TrimSpace(said.String())), "The server's log may say more. Try again when it answers.")
	}
	return inventory, errors.Join(err, ended)
}

// mysqlLogin is the option file that clients get in with: a password is in no
// list of processes.
func mysqlLogin(network, address, user, password string) string {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
	}
	where := "protocol=socket\nsocket=" + quote(address) + "\n"
	if host, port, err := net.SplitHostPort(address); network == "tcp" && err == nil {
		where = "protocol=tcp\nhost=" + quote(host) + "\nport=" + port + "\n"
	}
	return "[client]\nuser=" + quote(user) + "\npassword=" + quote(password) + "\n" + where
}

// countDump counts the rows of each table of a dump, and what else it makes.
func countDump(in io.Reader) (hop3.Inventory, error) {
	inventory := hop3.Inventory{}
	views := map[string]bool{} // each is made twice: first as something to refer to
	s := sqldump.NewScanner(in)
	for {
		st, err := s.Next()
		if errors.Is(err, io.EOF) {
			if !s.Completed() {
				return nil, errors.New("the dump ends early")
			}
			return inventory, nil
		} else if err != nil {
			return nil, err
		}
		w := st.Words(12)
		switch st.Kind() {
		case sqldump.Data:
			switch {
			case w[0] == "INSERT" && len(w) > 2:
				inventory["table "+w[2]] += st.Rows
			case w[0] == "CREATE" && sqldump.Noun(w) == "TABLE":
				inventory["table "+sqldump.Name(w)] += 0
			}
		case sqldump.Program:
			noun := strings.ToLower(sqldump.Noun(w))
			switch {
			case w[0] != "CREATE":
			case noun == "view" && views[sqldump.Name(w)]:
			case noun == "view":
				views[sqldump.Name(w)] = true
				inventory["views"]++
			case noun == "trigger", noun == "event":
				inventory[noun+"s"]++
			default:
				inventory["routines"]++
			}
		}
	}
}

// Inventory counts, at one moment, the rows of each table, and what else there
// is.
func (m *MySQL) Inventory(ctx context.Context, a hop3.Addon) (hop3.Inventory, error) {
	app, err := m.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	app.close()
	admin, err := m.admin(ctx, a)
	if err != nil {
		return nil, err
	}
	defer admin.close()
	database, inventory := a.Details[mysqlDatabase], hop3.Inventory{}
	tables, err := admin.tables(ctx, database, "BASE TABLE", "SYSTEM VERSIONED")
	if err != nil {
		return nil, err
	}
	tx, err := admin.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, admin.failed(ctx, err)
	}
	defer tx.Rollback() // it has only read
	for _, table := range tables {
		var rows int64
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+quoteName(database)+"."+quoteName(table)).Scan(&rows); err != nil {
			return nil, admin.failed(ctx, err)
		}
		inventory["table "+table] = rows
	}
	for _, other := range []string{"views/table_schema", "triggers/trigger_schema", "routines/routine_schema", "events/event_schema"} {
		what, column, _ := strings.Cut(other, "/")
		var n int64
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema."+what+" WHERE "+column+" = ?", database).Scan(&n); err != nil {
			return nil, admin.failed(ctx, err)
		}
		if n > 0 {
			inventory[what] = n
		}
	}
	return inventory, nil
}

// tables lists those of some types in a database.
func (c *mysqlConn) tables(ctx context.Context, database string, types ...string) ([]string, error) {
	args := []any{database}
	for _, t := range types {
		args = append(args, t)
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(types)), ", ")
	return c.list(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type IN ("+marks+") ORDER BY table_name", args...)
}
