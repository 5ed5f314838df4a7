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

// copy runs pg_dump.
func (p postgres) copy(ctx context.Context, to *os.File) error {
	cmd, complaint, err := p.program(ctx, "pg_dump", "--format=custom", "--no-password")
	if err != nil {
		return err
	}
	cmd.Stdout = to
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("pg_dump: %s", strings.TrimSpace(complaint.String())), err)
	}
	return nil
}

// program is one of PostgreSQL's, which gets what it needs in its environment:
// arguments are everybody's to see. What it complains of comes into the buffer.
func (p postgres) program(ctx context.Context, name string, args ...string) (*osexec.Cmd, *bytes.Buffer, error) {
	path, err := osexec.LookPath(name)
	if err != nil {
		return nil, nil, hop3.Errorf(hop3.CodeUnavailable, "%s is not installed", name).WithHint("On Debian and Ubuntu: sudo apt-get install postgresql-client")
	}
	cmd, complaint := osexec.CommandContext(ctx, path, args...), &bytes.Buffer{}
	cmd.Stderr = complaint
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
	return cmd, complaint, nil
}
