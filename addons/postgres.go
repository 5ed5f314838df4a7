package addons

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/jackc/pgx/v5"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Postgres))
}

// Postgres gives apps databases of PostgreSQL: on the server that is
// configured, on one that Hop3 runs for all addons, or on one each.
//
// A database belongs to a role that nobody logs in as. Apps log in as members
// of it and act as it, so that what they make belongs to the addon and not to
// credentials, which can be changed.
type Postgres struct {
	server hop3.AddonServer
	making chan struct{} // of capacity 1: who starts a service
}

var (
	_ hop3.AddonProvider = (*Postgres)(nil)
	_ hop3.AddonRotator  = (*Postgres)(nil)
	_ hop3.AddonDumper   = (*Postgres)(nil)
	_ hop3.AddonSharer   = (*Postgres)(nil)
	_ hop3.AddonActions  = (*Postgres)(nil)
)

// CaddyModule describes the module.
func (*Postgres) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.addons.postgres", New: func() caddy.Module { return new(Postgres) }}
}

// Name returns "postgres".
func (*Postgres) Name() string { return "postgres" }

// Open implements hop3.AddonProvider.
func (p *Postgres) Open(s hop3.AddonServer) error {
	p.server, p.making = s, make(chan struct{}, 1)
	return nil
}

// Plan implements hop3.AddonProvider. It starts the service that addons share.
func (p *Postgres) Plan(ctx context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	if err := hop3.ValidateAddonName(a.Name); err != nil {
		return nil, err
	}
	extensions, err := p.extensions(a)
	if err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	d := pgDetails{id: hex.EncodeToString(id[:]), password: password()}
	switch {
	case a.Dedicated:
		if err := p.planService(&d, "postgres-"+pgSlug(a.Name)); err != nil {
			return nil, err
		}
		d.name(pgName(a.Name))
		return d.details(), nil
	case p.configured():
		err = p.planConfigured(&d)
	default:
		d.service = pgShared
		d.host = pgLoopback
		d.port, err = p.sharedPort(ctx)
	}
	if err != nil {
		return nil, err
	}
	conn, err := p.admin(ctx, d)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	if err := conn.available(ctx, extensions); err != nil {
		return nil, err
	}
	name, err := conn.freeName(ctx, pgName(a.Name))
	if err != nil {
		return nil, err
	}
	d.name(name)
	return d.details(), nil
}

// Variables implements hop3.AddonProvider.
func (p *Postgres) Variables(a hop3.Addon) hop3.Env {
	d, _ := pgDetailsOf(a)
	return hop3.Env{
		"DATABASE_URL": d.url(), "PGHOST": d.host, "PGPORT": strconv.Itoa(d.port),
		"PGDATABASE": d.database, "PGUSER": d.user, "PGPASSWORD": d.password,
	}
}

// Endpoint implements hop3.AddonProvider.
func (p *Postgres) Endpoint(a hop3.Addon) hop3.AddonEndpoint {
	d, _ := pgDetailsOf(a)
	return hop3.AddonEndpoint{Host: d.host, Port: d.port, URL: d.url()}
}

// Status implements hop3.AddonProvider: it logs in as an app does.
func (p *Postgres) Status(ctx context.Context, a hop3.Addon) ([]hop3.AddonFact, error) {
	d, conn, err := p.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	var version, size string
	var connected int
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version'), pg_size_pretty(pg_database_size(current_database())),
		(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())`).Scan(&version, &size, &connected)
	if err != nil {
		return nil, conn.failure(ctx, "be asked for its state", err)
	}
	return []hop3.AddonFact{
		serverFact(net.JoinHostPort(d.host, strconv.Itoa(d.port)), d.service, pgShared),
		{Property: "Version", Value: "PostgreSQL " + version},
		{Property: "Database", Value: d.database},
		{Property: "User", Value: d.user},
		{Property: "Size", Value: size},
		{Property: "Connections", Value: strconv.Itoa(connected)},
	}, nil
}

// pgDetails are what a database is made of.
type pgDetails struct {
	// id is in the comments of the roles: what has not got it is not the
	// addon's, whatever its name.
	id             string
	database       string
	owner          string // a role nobody logs in as
	user, password string // a member of it
	host           string // as apps reach it
	port           int
	service        string // of Hop3's own; "" for the server that is configured
	server         string // POSTGRES_HOST as it was then
}

func (d pgDetails) details() hop3.AddonDetails {
	return hop3.AddonDetails{
		"id": d.id, "database": d.database, "owner": d.owner, "user": d.user, "password": d.password,
		"host": d.host, "port": strconv.Itoa(d.port), "service": d.service, "server": d.server,
	}
}

func pgDetailsOf(a hop3.Addon) (pgDetails, error) { return pgDetailsFrom(a, a.Details) }

func pgDetailsFrom(a hop3.Addon, from hop3.AddonDetails) (pgDetails, error) {
	d := pgDetails{
		id: from["id"], database: from["database"], owner: from["owner"], user: from["user"], password: from["password"],
		host: from["host"], service: from["service"], server: from["server"],
	}
	d.port, _ = strconv.Atoi(from["port"])
	if d.id == "" || d.database == "" || d.owner == "" || d.user == "" || d.port == 0 {
		return d, hop3.Errorf(hop3.CodeInternal, "it is not known what %s is made of", a.ID())
	}
	return d, nil
}

// name settles the names that follow from the database's.
func (d *pgDetails) name(database string) {
	d.database, d.owner, d.user = database, database+"_owner", database+"_user"
}

// users are the two roles that credentials change between.
func (d pgDetails) users() [2]string { return [2]string{d.database + "_user", d.database + "_user2"} }

// mark is the comment of the addon's roles.
func (d pgDetails) mark() string { return "hop3 addon " + d.id }

func (d pgDetails) url() string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(d.user, d.password), Host: d.host + ":" + strconv.Itoa(d.port), Path: "/" + d.database}
	if strings.Contains(d.host, ":") {
		u.Host = "[" + d.host + "]:" + strconv.Itoa(d.port)
	}
	return u.String()
}

// pgName is the database's name for an addon's: at most 55 bytes, so that the
// names of its roles have the 63 that PostgreSQL takes.
func pgName(addon string) string {
	name := identifier(addon)
	switch {
	case strings.HasPrefix(name, "pg_"), slices.Contains([]string{"postgres", "template0", "template1"}, name):
		name = "db_" + name // these are PostgreSQL's own
	}
	const most = 55
	if len(name) > most {
		sum := sha256.Sum256([]byte(addon))
		name = name[:most-9] + "_" + hex.EncodeToString(sum[:4])
	}
	return name
}

// pgSlug is an addon's name as a part of a service's, which has lower case
// letters, digits and '-' only. No two names have the same.
func pgSlug(name string) string {
	s := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	const most = 48
	if s == name && len(s) <= most {
		return s
	}
	sum := sha256.Sum256([]byte(name))
	return s[:min(len(s), most-9)] + "-" + hex.EncodeToString(sum[:4])
}

// freeName returns a name that neither a database nor roles on the server
// have: the one that is asked for, or one that begins with it.
func (c *pgConn) freeName(ctx context.Context, want string) (string, error) {
	name := want
	for {
		d := pgDetails{}
		d.name(name)
		users := d.users()
		var taken bool
		err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) OR EXISTS (SELECT FROM pg_roles WHERE rolname = ANY($2))`,
			name, []string{d.owner, users[0], users[1]}).Scan(&taken)
		if err != nil {
			return "", c.failure(ctx, "be asked for its databases", err)
		}
		if !taken {
			return name, nil
		}
		var suffix [3]byte
		_, _ = rand.Read(suffix[:]) // never fails
		name = want[:min(len(want), 48)] + "_" + hex.EncodeToString(suffix[:])
	}
}

// pgQuote returns identifiers, joined by dots, as SQL.
func pgQuote(names ...string) string { return pgx.Identifier(names).Sanitize() }

// pgLiteral returns a text as SQL.
func pgLiteral(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// pgStatement is a format of SQL: the names are quoted identifiers.
func pgStatement(format string, names ...string) string {
	quoted := make([]any, len(names))
	for i, n := range names {
		quoted[i] = pgQuote(n)
	}
	return fmt.Sprintf(format, quoted...)
}
