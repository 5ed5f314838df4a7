package addons

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/abilian/hop3/hop3"
)

const (
	pgShared   = "postgres" // the service that addons share
	pgLoopback = "127.0.0.1"
	// pgMaintenance is the database that is worked in, where none of an addon is.
	pgMaintenance = "postgres"
	// pgAnswerTime is how long a service may take until it answers: one that was
	// killed has to read its log first.
	pgAnswerTime = time.Minute
)

// Names in the directory of a service.
const (
	pgClusterDir    = "cluster" // what initdb made
	pgNewDir        = "new"     // what it is making
	pgSuperuserFile = "superuser"
	pgPortFile      = "port"
	pgHBAFile       = "hba.conf"
	pgVersionFile   = "PG_VERSION"
	pgSocketLength  = 107 - len("/.s.PGSQL.65535") // what the kernel takes, less the file
)

// pgAddress is where and as whom somebody logs in.
type pgAddress struct {
	host           string // a name, an address, or the directory of the socket
	port           int
	user, password string
	app            bool // an addon's user, not the superuser
	// own is a service of Hop3's: nothing else is to be told its passwords.
	own bool
	log string // of a service
}

func (a pgAddress) String() string {
	if filepath.IsAbs(a.host) {
		return filepath.Join(a.host, ".s.PGSQL."+strconv.Itoa(a.port))
	}
	return net.JoinHostPort(a.host, strconv.Itoa(a.port))
}

// pgConn is a connection of ours. Its search path leads to nothing that apps
// may have made.
type pgConn struct {
	*pgx.Conn
	address pgAddress
}

// configured says that addons go to a server that the admin has named.
func (p *Postgres) configured() bool { return p.server.Setting("POSTGRES_HOST") != "" }

func (p *Postgres) superuser() (pgAddress, error) {
	port := 5432
	if text := p.server.Setting("POSTGRES_PORT"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 65535 {
			return pgAddress{}, hop3.Errorf(hop3.CodeInvalid, "POSTGRES_PORT is not a port: %.20q", text)
		}
		port = n
	}
	return pgAddress{
		host: p.server.Setting("POSTGRES_HOST"), port: port,
		user:     cmp.Or(p.server.Setting("POSTGRES_SUPERUSER"), "postgres"),
		password: p.server.Setting("POSTGRES_SUPERUSER_PASSWORD"),
	}, nil
}

func (p *Postgres) planConfigured(d *pgDetails) error {
	a, err := p.superuser()
	d.server, d.port, d.host = a.host, a.port, a.host
	if filepath.IsAbs(d.host) || d.host == "localhost" {
		d.host = pgLoopback // localhost may be another address in a container
	}
	return err
}

func (p *Postgres) planService(d *pgDetails, name string) (err error) {
	if _, err := pgPrograms("", "postgres", "initdb"); err != nil {
		return err
	}
	if p.server.Services() == nil {
		return pgNoServices()
	}
	d.service, d.host = name, pgLoopback
	d.port, err = p.server.Services().FreePort()
	return err
}

func pgNoServices() error {
	return hop3.Errorf(hop3.CodeUnavailable, "this server runs no PostgreSQL of its own").WithHint("Let its admin set POSTGRES_HOST to one.")
}

// sharedPort returns the port of the service that addons share, which it
// starts.
func (p *Postgres) sharedPort(ctx context.Context) (int, error) {
	a, err := p.service(ctx, pgShared, 0, true)
	return a.port, err
}

// errPgNoService says that a service was never made, or is gone.
var errPgNoService = errors.New("there is no such service")

// address returns where to log in as the superuser. A service of Hop3's own is
// started, and made when wanted.
func (p *Postgres) address(ctx context.Context, d pgDetails, make bool) (pgAddress, error) {
	if d.service != "" {
		return p.service(ctx, d.service, d.port, make)
	}
	a, err := p.superuser()
	if err == nil && (a.host != d.server || a.port != d.port) {
		err = hop3.Errorf(hop3.CodeUnavailable, "the database is on the server %s, port %d, which is not the one of POSTGRES_HOST any more", d.server, d.port).
			WithHint("Set POSTGRES_HOST and POSTGRES_PORT back, or move the data: dump it there and restore it here.")
	}
	return a, err
}

// admin logs in as the superuser, to the database of maintenance.
func (p *Postgres) admin(ctx context.Context, d pgDetails) (*pgConn, error) {
	return p.adminOf(ctx, d, pgMaintenance)
}

func (p *Postgres) adminOf(ctx context.Context, d pgDetails, database string) (*pgConn, error) {
	a, err := p.address(ctx, d, true)
	if err != nil {
		return nil, err
	}
	conn, err := pgLogin(ctx, a, database)
	if err != nil {
		return nil, err
	}
	// The owner of a database can have sessions in it act as somebody.
	if _, err := conn.Exec(ctx, "SET ROLE NONE"); err != nil {
		conn.close()
		return nil, conn.failure(ctx, "be worked with", err)
	}
	return conn, nil
}

// asApp logs in to an addon as the apps that have it do.
func (p *Postgres) asApp(ctx context.Context, a hop3.Addon) (pgDetails, *pgConn, error) {
	d, err := pgDetailsOf(a)
	if err != nil {
		return d, nil, err
	}
	conn, err := p.app(ctx, d, d.database)
	return d, conn, err
}

// app logs in as an app does, to a database of the addon.
func (p *Postgres) app(ctx context.Context, d pgDetails, database string) (*pgConn, error) {
	a, err := p.address(ctx, d, true)
	if err != nil {
		return nil, err
	}
	a.user, a.password, a.app = d.user, d.password, true
	return pgLogin(ctx, a, database)
}

// pgLogin connects. It waits for a service that has just been started, and for a
// server that says it is starting.
func pgLogin(ctx context.Context, a pgAddress, database string) (*pgConn, error) {
	deadline := time.Now().Add(pgAnswerTime)
	for {
		conn, err := pgConnect(ctx, a, database)
		if err == nil {
			return &pgConn{conn, a}, nil
		}
		if ctx.Err() != nil || !a.own && pgCode(err) != "57P03" || !pgStarting(err) || time.Now().After(deadline) {
			return nil, a.failure(ctx, "be reached", err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// pgStarting reports whether what refuses a connection may take one soon.
func pgStarting(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code == "57P03" || refused.Code == "57P01" || refused.Code == "57P02"
	}
	var offline net.Error
	return errors.As(err, &offline) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

func pgConnect(ctx context.Context, a pgAddress, database string) (*pgx.Conn, error) {
	mode := "prefer"
	if a.own {
		mode = "disable"
	}
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s sslmode=%s connect_timeout=15",
		pgConnValue(a.host), a.port, pgConnValue(a.user), pgConnValue(a.password), pgConnValue(database), mode))
	if err != nil {
		return nil, err
	}
	if a.own {
		config.RequireAuth = "scram-sha-256" // who answers has to know the password too
	}
	for key, value := range map[string]string{
		"search_path": "pg_catalog", "application_name": "hop3", "client_encoding": "UTF8", "synchronous_commit": "on",
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
	} {
		config.RuntimeParams[key] = value
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// pgConnValue is a value as a connection string has it.
func pgConnValue(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// close ends the connection, also when there is no time left.
func (c *pgConn) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

func (c *pgConn) failure(ctx context.Context, do string, err error) error {
	return c.address.failure(ctx, do, err)
}

// failure says what PostgreSQL cannot do. The cause is not wrapped: it has the
// password in it.
func (a pgAddress) failure(ctx context.Context, do string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("PostgreSQL at %s: %w", a, context.Cause(ctx))
	}
	var known *hop3.Error
	if errors.As(err, &known) {
		return err
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		hint := "See that it runs, and that POSTGRES_HOST and POSTGRES_PORT lead to it."
		if a.own {
			hint = "The server keeps it running; its log is " + a.log + "."
		}
		if errors.Is(err, fs.ErrPermission) {
			hint = "The server may not reach it: set POSTGRES_HOST to an address instead of a directory."
		}
		return hop3.Errorf(hop3.CodeUnavailable, "PostgreSQL at %s does not answer: %s", a, pgRoot(err)).WithHint("%s", hint)
	}
	switch {
	case strings.HasPrefix(said.Code, "28"):
		hint := "Set POSTGRES_SUPERUSER and POSTGRES_SUPERUSER_PASSWORD to those of its superuser."
		if a.app {
			hint = "It was changed behind the server's back, or the addon is not there."
		} else if a.own {
			hint = "It was changed behind the server's back."
		}
		return hop3.Errorf(hop3.CodeUnavailable, "PostgreSQL at %s refuses the password of '%s'", a, a.user).WithHint("%s", hint)
	case said.Code == "3D000":
		return hop3.Errorf(hop3.CodeNotFound, "PostgreSQL at %s has no such database", a).WithHint("Create the addon again, or restore a backup of it.")
	}
	return hop3.Errorf(hop3.CodeUnavailable, "PostgreSQL at %s cannot %s: %s", a, do, said.Message)
}

// pgRoot is what an error comes from: "connection refused". Those around it name
// all addresses that were tried.
func pgRoot(err error) string {
	for {
		var inner error
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			inner = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				inner = all[len(all)-1]
			}
		}
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// pgPrograms finds programs of one installation: that of a version, or
// the newest when version is "".
func pgPrograms(version string, names ...string) (map[string]string, error) {
	for _, dir := range pgDirs(version) {
		found := map[string]string{}
		for _, name := range names {
			if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				found[name] = file
			}
		}
		if len(found) == len(names) {
			return found, nil
		}
	}
	if version != "" {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "PostgreSQL %s, which made the data, is not installed", version).
			WithHint("On Debian and Ubuntu: apt install postgresql-%s", version)
	}
	return nil, hop3.Errorf(hop3.CodeUnavailable, "PostgreSQL is not installed").
		WithHint("On Debian and Ubuntu: apt install postgresql. Or let the server's admin set POSTGRES_HOST to one that runs elsewhere.")
}

// pgDirs are the directories that programs of a version may be in, the
// newest first.
func pgDirs(version string) []string {
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib/postgresql*/bin"} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	majors := map[string]int{}
	for _, dir := range dirs {
		majors[dir] = pgMajorIn(dir)
	}
	dirs = slices.DeleteFunc(dirs, func(dir string) bool {
		return version != "" && majors[dir] != 0 && strconv.Itoa(majors[dir]) != version
	})
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(majors[b], majors[a]) })
	return dirs
}

// pgMajorIn returns the version that is in the name of a directory, 0 for none.
func pgMajorIn(dir string) int {
	n, _ := strconv.Atoi(strings.TrimFunc(filepath.Base(filepath.Dir(dir)), func(r rune) bool { return r < '0' || r > '9' }))
	return n
}
