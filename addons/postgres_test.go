package addons_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

func needPostgres(t *testing.T) (bin string) {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) == 0 {
		untested(t, "PostgreSQL", "postgresql")
	}
	return filepath.Dir(slices.Max(bins))
}

// pgClient uses databases as apps do.
var pgClient = hop3test.AddonClient{
	Variables: []string{"DATABASE_URL", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGHOST", "PGPORT"},
	Options:   map[string][]string{"extensions": {"hstore", "pgcrypto"}},
	Write: func(ctx context.Context, env hop3.Env, key, value string) error {
		return asApp(ctx, env, func(c *pgx.Conn) error {
			_, err := c.Exec(ctx, `CREATE TABLE IF NOT EXISTS kept (key text PRIMARY KEY, value text, n serial, more hstore); CREATE SCHEMA IF NOT EXISTS "odd.'schema"`, pgx.QueryExecModeSimpleProtocol)
			if err == nil {
				_, err = c.Exec(ctx, "INSERT INTO kept (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2", key, value)
			}
			return err
		})
	},
	Read: func(ctx context.Context, env hop3.Env, key string) (value string, err error) {
		err = asApp(ctx, env, func(c *pgx.Conn) error {
			return c.QueryRow(ctx, "SELECT value FROM kept WHERE key = $1", key).Scan(&value)
		})
		var said *pgconn.PgError
		if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &said) && said.Code == "42P01" { // no such table
			return "", nil
		}
		return value, err
	},
	Alter: func(ctx context.Context, env hop3.Env) error {
		return asApp(ctx, env, func(c *pgx.Conn) error {
			_, err := c.Exec(ctx, `ALTER TABLE kept ADD COLUMN IF NOT EXISTS extra text; CREATE TABLE IF NOT EXISTS "odd.'schema"."it's" (id bigserial); INSERT INTO "odd.'schema"."it's" DEFAULT VALUES;
				DROP TABLE IF EXISTS passing; CREATE TABLE passing ()`, pgx.QueryExecModeSimpleProtocol)
			return err
		})
	},
	Trespass: trespass,
}

func asApp(ctx context.Context, env hop3.Env, do func(*pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, env["DATABASE_URL"])
	if err != nil {
		return err
	}
	return errors.Join(do(c), c.Close(ctx))
}

func trespass(ctx context.Context, env, other hop3.Env, key string) error {
	var failed []error
	for _, database := range []string{other["PGDATABASE"], "postgres", "template1"} {
		if database != other["PGDATABASE"] && env["CONFIGURED"] != "" {
			continue // what is not Hop3's is the admin's to close
		}
		elsewhere := env.Merge(hop3.Env{"DATABASE_URL": fmt.Sprintf("postgresql://%s:%s@%s:%s/%s", env["PGUSER"], env["PGPASSWORD"], env["PGHOST"], env["PGPORT"], database)})
		if failed = append(failed, asApp(ctx, elsewhere, func(*pgx.Conn) error { return nil })); failed[len(failed)-1] == nil {
			return nil
		}
	}
	for _, statement := range []string{
		"SET ROLE " + other["PGDATABASE"] + "_owner",
		"SET ROLE postgres",
		"SET SESSION AUTHORIZATION " + other["PGUSER"],
		"GRANT " + other["PGDATABASE"] + "_owner TO " + env["PGUSER"],
		"ALTER ROLE " + other["PGUSER"] + " PASSWORD 'mine'",
		"ALTER ROLE " + env["PGUSER"] + " SUPERUSER",
		"CREATE ROLE more LOGIN",
		"CREATE DATABASE more",
		"ALTER DATABASE " + other["PGDATABASE"] + " RENAME TO mine",
		"DROP DATABASE " + other["PGDATABASE"],
		"CREATE EXTENSION dblink",
		"CREATE EXTENSION file_fdw",
		"COPY (SELECT 1) TO PROGRAM 'id'",
		"SELECT pg_read_file('/etc/passwd')",
		"SELECT rolpassword FROM pg_authid",
		"SELECT pg_reload_conf()",
	} {
		err := asApp(ctx, env, func(c *pgx.Conn) error {
			_, err := c.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
			return err
		})
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// freePort is a port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestPostgresShared(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	client := pgClient
	client.Broken = map[string]hop3.AddonServer{"no services": hop3test.AddonServer{}}
	server := servicestest.Server(t, nil)
	server.Runs = unsafeServices{server.Runs}
	hop3test.Addon(t, new(addons.Postgres), server, client)
}

// unsafeServices do not wait for the disk: what they have is lost with the
// machine, and thrown away after the test anyway.
type unsafeServices struct{ hop3.Services }

func (u unsafeServices) Start(ctx context.Context, s hop3.Service) error {
	s.Args = append(slices.Clone(s.Args), "-F", "-c", "full_page_writes=off")
	return u.Services.Start(ctx, s)
}

func (u unsafeServices) Run(ctx context.Context, name string, env hop3.Env, argv ...string) error {
	if filepath.Base(argv[0]) == "initdb" {
		argv = append(slices.Clone(argv), "--no-sync")
	}
	return u.Services.Run(ctx, name, env, argv...)
}

// configuredPostgres runs a server that is not Hop3's, on TCP, with a password.
func configuredPostgres(t *testing.T) map[string]string {
	t.Helper()
	bin := needPostgres(t)
	services := servicestest.Server(t, nil).Services()
	dir, err := services.Prepare(t.Context(), "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	const secret = "correct 'horse\\ battery"
	file := filepath.Join(dir.Data, "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	data, port := filepath.Join(dir.Data, "pg"), freePort(t)
	err = services.Run(t.Context(), "elsewhere", nil, filepath.Join(bin, "initdb"), "--no-sync", "--auth=scram-sha-256", "--username=root of all", "--pwfile="+file, "--encoding=UTF8", "--pgdata="+data)
	if err == nil {
		err = services.Start(t.Context(), hop3.Service{Name: "elsewhere", Args: []string{
			filepath.Join(bin, "postgres"), "-D", data, "-F", "-c", "port=" + strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "log_statement=all",
		}})
	}
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"POSTGRES_HOST": "localhost", "POSTGRES_PORT": strconv.Itoa(port), "POSTGRES_SUPERUSER": "root of all", "POSTGRES_SUPERUSER_PASSWORD": secret,
		"LOG": dir.Log,
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := pgx.Connect(t.Context(), adminURL(settings))
		if err == nil {
			_ = c.Close(t.Context())
			return settings
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func adminURL(settings map[string]string) string {
	u := url.URL{
		Scheme: "postgresql", User: url.UserPassword(settings["POSTGRES_SUPERUSER"], settings["POSTGRES_SUPERUSER_PASSWORD"]),
		Host: "127.0.0.1:" + settings["POSTGRES_PORT"], Path: "/postgres",
	}
	return u.String()
}

func with(settings map[string]string, key, value string) hop3.AddonServer {
	changed := hop3.Env(settings).Merge(hop3.Env{key: value})
	return hop3test.AddonServer{Settings: changed}
}

func TestPostgresConfigured(t *testing.T) {
	t.Parallel()
	settings := configuredPostgres(t)
	client := pgClient
	client.Brief = true
	client.Trespass = func(ctx context.Context, env, other hop3.Env, key string) error {
		return trespass(ctx, env.Merge(hop3.Env{"CONFIGURED": "1"}), other, key)
	}
	client.Broken = map[string]hop3.AddonServer{
		"a wrong password": with(settings, "POSTGRES_SUPERUSER_PASSWORD", "a wrong password"),
		"no password":      with(settings, "POSTGRES_SUPERUSER_PASSWORD", ""),
		"a wrong user":     with(settings, "POSTGRES_SUPERUSER", "nobody at all"),
		"a server down":    with(settings, "POSTGRES_PORT", strconv.Itoa(freePort(t))),
	}
	hop3test.Addon(t, new(addons.Postgres), hop3test.AddonServer{Settings: settings}, client)
}
