package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
)

// settings are those of the provider; the password goes by the environment.
type settings map[string]string

// Setting implements hop3.AddonServer.
func (s settings) Setting(key string) string { return s[key] }

// Services implements hop3.AddonServer: the server is a configured one.
func (settings) Services() hop3.Services { return nil }

const passwordVariable = "HOP3_BENCH_PASSWORD"

func provider(host, port, user, password string) (*addons.Postgres, error) {
	p := &addons.Postgres{}
	return p, p.Open(settings{"POSTGRES_HOST": host, "POSTGRES_PORT": port, "POSTGRES_SUPERUSER": user, "POSTGRES_SUPERUSER_PASSWORD": password})
}

// database is a PostgreSQL database of one table of rows.
type database struct {
	dir        string
	size       int64
	host, port string
	provider   *addons.Postgres
	from, to   hop3.Addon
}

func (*database) name() string { return "database" }

func (d *database) prepare(ctx context.Context) (err error) {
	if d.host, d.port, err = net.SplitHostPort(*postgres); err != nil {
		return err
	}
	if d.provider, err = provider(d.host, d.port, *superuser, *password); err != nil {
		return err
	}
	if d.from, err = d.addon(ctx, "bench-from"); err != nil {
		return err
	}
	if d.to, err = d.addon(ctx, "bench-to"); err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, d.provider.Endpoint(d.from).URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	// About 1 KB a row, in the text form that a dump has.
	_, err = c.Exec(ctx, `CREATE TABLE rows (id bigserial PRIMARY KEY, name text, body text)`)
	if err == nil {
		_, err = c.Exec(ctx, fmt.Sprintf(`INSERT INTO rows (name, body) SELECT md5(n::text), (SELECT string_agg(md5((n * 31 + m)::text), ' ') FROM generate_series(1, 15) m) || repeat('the same again ', 32) FROM generate_series(1, %d) n`, d.size/1024))
	}
	return err
}

func (d *database) addon(ctx context.Context, name string) (hop3.Addon, error) {
	a := hop3.Addon{Type: "postgres", Name: name}
	var err error
	if a.Details, err = d.provider.Plan(ctx, a); err != nil {
		return a, err
	}
	return a, d.provider.Create(ctx, a)
}

// client runs a program of PostgreSQL on a database, as its app would.
func (d *database) client(ctx context.Context, a hop3.Addon, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), d.provider.Variables(a).Environ()...)
	return cmd
}

func (d *database) saveByHand(ctx context.Context) (time.Duration, error) {
	return pipe(ctx, d.client(ctx, d.from, "pg_dump", "--no-owner"), exec.CommandContext(ctx, "zstd", "-q", "-f", "-o", filepath.Join(d.dir, "hand.sql.zst")))
}

func (d *database) empty(ctx context.Context) error {
	return d.client(ctx, d.to, "psql", "-q", "-c", "DROP TABLE IF EXISTS rows").Run()
}

func (d *database) restoreByHand(ctx context.Context) (time.Duration, error) {
	if err := d.empty(ctx); err != nil {
		return 0, err
	}
	psql := d.client(ctx, d.to, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.DevNull)
	return pipe(ctx, exec.CommandContext(ctx, "zstd", "-q", "-dc", filepath.Join(d.dir, "hand.sql.zst")), psql)
}

func (d *database) backups() string { return filepath.Join(d.dir, "database-backups") }

func (d *database) job(do string, a hop3.Addon) job {
	return job{Do: do, Backups: d.backups(), Addon: a, Host: d.host, Port: d.port, User: *superuser}
}

func (d *database) save(ctx context.Context) (time.Duration, int64, error) {
	if err := os.RemoveAll(d.backups()); err != nil {
		return 0, 0, err
	}
	return hop3Step(ctx, d.job("save database", d.from), passwordVariable+"="+*password)
}

func (d *database) restore(ctx context.Context) (time.Duration, int64, error) {
	if err := d.empty(ctx); err != nil {
		return 0, 0, err
	}
	return hop3Step(ctx, d.job("restore database", d.to), passwordVariable+"="+*password)
}

func (d *database) close() error {
	ctx := context.Background() // also after an interrupt
	var err error
	for _, a := range []hop3.Addon{d.from, d.to} {
		if a.Details != nil {
			err = errors.Join(err, d.provider.Destroy(ctx, a))
		}
	}
	return err
}

const dumpFile = "addons/postgres_bench.sql"

func saveDatabase(ctx context.Context, s *backup.Store, j job) error {
	p, err := provider(j.Host, j.Port, j.User, os.Getenv(passwordVariable))
	if err != nil {
		return err
	}
	w, err := s.Begin(saved)
	if err != nil {
		return err
	}
	_, err = w.File(ctx, dumpFile, func(to io.Writer) error {
		_, err := p.Dump(ctx, j.Addon, to)
		return err
	})
	if err == nil {
		_, err = w.Commit(ctx, hop3.BackupMetadata{ID: saved.ID, App: saved.App})
	}
	return err
}

func restoreDatabase(ctx context.Context, s *backup.Store, j job) error {
	p, err := provider(j.Host, j.Port, j.User, os.Getenv(passwordVariable))
	if err != nil {
		return err
	}
	r, err := s.Open(s.Dir(saved))
	if err == nil {
		err = r.Check(ctx)
	}
	if err != nil {
		return err
	}
	return r.Read(ctx, dumpFile, func(from io.Reader) error { return p.Restore(ctx, j.Addon, from) })
}
