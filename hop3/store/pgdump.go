package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

func (p postgres) shown() string { return p.url }

// examine asks for the size only: PostgreSQL checks what it reads.
func (p postgres) examine(ctx context.Context, db *sql.DB) (size int64, trouble string, err error) {
	err = db.QueryRowContext(ctx, "SELECT pg_database_size(current_database())").Scan(&size)
	if err != nil {
		err = fmt.Errorf("asking for the size of %s: %w", p.url, err)
	}
	return size, "", err
}

// copy runs pg_dump, which gets what it needs in its environment: arguments
// are everybody's to see.
func (p postgres) copy(ctx context.Context, to *os.File) error {
	program, err := osexec.LookPath("pg_dump")
	if err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "pg_dump is not installed").WithHint("On Debian and Ubuntu: sudo apt-get install postgresql-client")
	}
	var complaint bytes.Buffer
	cmd := osexec.CommandContext(ctx, program, "--format=custom", "--no-password")
	cmd.Stdout, cmd.Stderr = to, &complaint
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env,
		"PGHOST="+p.config.Host, "PGPORT="+strconv.Itoa(int(p.config.Port)), "PGUSER="+p.config.User,
		"PGPASSWORD="+p.config.Password, "PGDATABASE="+p.config.Database)
	if p.config.TLSConfig != nil {
		cmd.Env = append(cmd.Env, "PGSSLMODE=require")
	}
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("pg_dump: %s", strings.TrimSpace(complaint.String())), err)
	}
	return nil
}
