package addons

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-sql-driver/mysql"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(MySQL))
}

// MySQL makes the addons of the type mysql: a database each, of the MySQL or
// MariaDB that is configured, or of a MariaDB that Hop3 runs itself, for all of
// them or, with --dedicated, for one.
//
// An addon has two users, of whom one can get in. A rotation goes from one to
// the other, and leaves the first one locked: what it made, such as a view, goes
// on running as that user, which works no longer when a user is gone.
type MySQL struct {
	server  hop3.AddonServer
	mu      sync.Mutex // planning, and starting a service
	planned handedOut
}

// mysqlShared is the service that addons share.
const mysqlShared = "mysql"

// The keys of its details, beside those all have.
const (
	mysqlDatabase      = "database"
	mysqlAdminPassword = "admin_password" // of a dedicated service
)

// CaddyModule describes the module.
func (*MySQL) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.addons.mysql", New: func() caddy.Module { return new(MySQL) }}
}

// Name returns "mysql".
func (*MySQL) Name() string { return "mysql" }

// Open keeps the server.
func (m *MySQL) Open(s hop3.AddonServer) error {
	m.server, m.planned = s, handedOut{}
	return nil
}

// Plan settles names, and starts the service that addons share.
func (m *MySQL) Plan(ctx context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	if err := checkAddon(a); err != nil {
		return nil, err
	}
	names := mysqlNames(a.Name)
	a.Details = hop3.AddonDetails{mysqlDatabase: names.database, detailUser: names.users[0], detailPassword: password()}
	if err := m.place(ctx, a); err != nil {
		return nil, err
	}
	if a.Dedicated {
		return a.Details, nil
	}
	admin, err := m.admin(ctx, a)
	if err != nil {
		return nil, err
	}
	defer admin.close()
	if there, err := admin.hasDatabase(ctx, names.database); err != nil {
		return nil, err
	} else if there {
		return nil, hop3.Errorf(hop3.CodeConflict, "the server %s has a database %s already", admin.where(), names.database).
			WithHint("Choose another name for the addon: what is in that database is not touched.")
	}
	return a.Details, nil
}

// place settles on which server an addon is.
func (m *MySQL) place(ctx context.Context, a hop3.Addon) error {
	if host := m.server.Setting("MYSQL_HOST"); host != "" {
		if a.Dedicated {
			return hop3.Errorf(hop3.CodeInvalid, "the MySQL server that MYSQL_HOST names is shared by all addons: there is none for one alone").
				WithHint("Leave out --dedicated.")
		}
		a.Details[detailHost], a.Details[detailPort] = hostForApps(host), m.configuredPort()
		return nil
	}
	a.Details[detailHost] = "127.0.0.1"
	if !a.Dedicated {
		a.Details[detailService] = mysqlShared
		state, err := m.runOwn(ctx, a)
		a.Details[detailPort] = state.Port
		return err
	}
	a.Details[detailService] = serviceName("mysql", a.Name)
	s, err := services(m.server, "MySQL", "MYSQL_HOST")
	if err != nil {
		return err
	}
	if _, _, err := mariadbPrograms(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a.Details[mysqlAdminPassword] = password()
	a.Details[detailPort], err = m.planned.freePort(s)
	return err
}

func (m *MySQL) configuredPort() string {
	if p := m.server.Setting("MYSQL_PORT"); p != "" {
		return p
	}
	return "3306"
}

// Create makes the database, and lets the addon's user in.
func (m *MySQL) Create(ctx context.Context, a hop3.Addon) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if own(a) {
		if _, err := m.runOwn(ctx, a); err != nil {
			return err
		}
	}
	admin, err := m.admin(ctx, a)
	if err != nil {
		return err
	}
	defer admin.close()
	if err := admin.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(a.Details[mysqlDatabase])+" CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"); err != nil {
		return err
	}
	return admin.letIn(ctx, a.Details[detailUser], a.Details[detailPassword], a.Details[mysqlDatabase])
}

// Destroy removes the database, what restores may have left beside it, and all
// users.
func (m *MySQL) Destroy(ctx context.Context, a hop3.Addon) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s := a.Details[detailService]; s != "" && s != mysqlShared {
		own, err := services(m.server, "MySQL", "MYSQL_HOST")
		if err != nil {
			return err
		}
		return own.Remove(ctx, s)
	}
	admin, err := m.admin(ctx, a)
	if err != nil {
		return err
	}
	defer admin.close()
	names := mysqlNames(a.Name)
	for _, user := range append(names.users[:], names.loader) {
		if err := admin.removeUser(ctx, user); err != nil {
			return err
		}
	}
	for _, database := range []string{a.Details[mysqlDatabase], names.loading, names.replaced} {
		if err := admin.exec(ctx, "DROP DATABASE IF EXISTS "+quoteName(database)); err != nil {
			return err
		}
	}
	return nil
}

// Variables are DATABASE_URL and its parts.
func (*MySQL) Variables(a hop3.Addon) hop3.Env {
	return hop3.Env{
		"DATABASE_URL":   mysqlURL(a),
		"MYSQL_DATABASE": a.Details[mysqlDatabase],
		"MYSQL_USER":     a.Details[detailUser],
		"MYSQL_PASSWORD": a.Details[detailPassword],
		"MYSQL_HOST":     a.Details[detailHost],
		"MYSQL_PORT":     a.Details[detailPort],
	}
}

func mysqlURL(a hop3.Addon) string {
	u := url.URL{
		Scheme: "mysql", User: url.UserPassword(a.Details[detailUser], a.Details[detailPassword]),
		Host: net.JoinHostPort(a.Details[detailHost], a.Details[detailPort]), Path: "/" + a.Details[mysqlDatabase],
	}
	return u.String()
}

// Endpoint is the address of the server.
func (*MySQL) Endpoint(a hop3.Addon) hop3.AddonEndpoint {
	port, _ := strconv.Atoi(a.Details[detailPort])
	return hop3.AddonEndpoint{Host: a.Details[detailHost], Port: port, URL: mysqlURL(a)}
}

// Status asks as the app's user: it works for the app too.
func (m *MySQL) Status(ctx context.Context, a hop3.Addon) ([]hop3.AddonFact, error) {
	admin, err := m.admin(ctx, a)
	if err != nil {
		return nil, err
	}
	defer admin.close()
	app, err := m.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	defer app.close()
	var size, tables, connected int64
	database := a.Details[mysqlDatabase]
	err = errors.Join(
		admin.row(ctx, "SELECT COALESCE(SUM(data_length + index_length), 0), COUNT(*) FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE'", []any{database}, &size, &tables),
		admin.row(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE db = ?", []any{database}, &connected),
	)
	if err != nil {
		return nil, err
	}
	return []hop3.AddonFact{
		serverFact(net.JoinHostPort(a.Details[detailHost], a.Details[detailPort]), a.Details[detailService], mysqlShared),
		{Property: "Version", Value: admin.version},
		{Property: "Database", Value: database},
		{Property: "User", Value: a.Details[detailUser]},
		{Property: "Tables", Value: strconv.FormatInt(tables, 10)},
		{Property: "Size", Value: fmt.Sprintf("%.1f MiB", float64(size)/(1<<20))},
		{Property: "Connections", Value: strconv.FormatInt(max(0, connected-1), 10)},
	}, nil
}

// Rotated returns the details with the other of the two users.
func (*MySQL) Rotated(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	next := hop3.AddonDetails{}
	for key, value := range a.Details {
		next[key] = value
	}
	users := mysqlNames(a.Name).users
	next[detailUser] = users[0]
	if a.Details[detailUser] == users[0] {
		next[detailUser] = users[1]
	}
	next[detailPassword] = password()
	return next, nil
}

// Revoke locks a user out, and ends its connections. The user stays, for what
// runs in its name.
func (m *MySQL) Revoke(ctx context.Context, a hop3.Addon, old hop3.AddonDetails) error {
	user := old[detailUser]
	if users := mysqlNames(a.Name).users; user == a.Details[detailUser] || !slices.Contains(users[:], user) {
		return nil
	}
	admin, err := m.admin(ctx, a)
	if err != nil {
		return err
	}
	defer admin.close()
	return admin.lockOut(ctx, user)
}

// names are those of what an addon is made of.
type names struct {
	database string
	users    [2]string
	// What a restore makes for its time: a user, where it loads, and where what
	// it replaces goes.
	loader, loading, replaced string
}

// mysqlNames are the names of an addon. Of two addons they differ: where a name
// cannot stay as it is, a part of it stands for all of it.
func mysqlNames(addon string) names {
	const mostUser, mostDatabase = 32, 64
	database := identifier(addon)
	if strings.ContainsAny(addon, "_") || strings.ToLower(addon) != addon || slices.Contains(mysqlOwn, database) {
		database += "_" + digest(addon)
	}
	short := func(name string, most int) string {
		if len(name) <= most {
			return name
		}
		return name[:most-9] + "_" + digest(name)
	}
	// A grant is for a pattern, in which each '_' takes a backslash: that must fit.
	most := mostDatabase
	for len(mysqlPattern(short(database, most))) > mostDatabase {
		most--
	}
	return names{
		database: short(database, most),
		users:    [2]string{short(database+"_user", mostUser), short(database+"_user2", mostUser)},
		loader:   "hop3_loader_" + digest(addon),
		loading:  "hop3_loading_" + digest(addon) + digest(addon+" loading"),
		replaced: "hop3_replaced_" + digest(addon) + digest(addon+" replaced"),
	}
}

// mysqlPattern is a name as grants have it.
func mysqlPattern(name string) string {
	return strings.NewReplacer(`\`, `\\`, "_", `\_`, "%", `\%`).Replace(name)
}

// mysqlOwn are the databases that servers have themselves.
var mysqlOwn = []string{"mysql", "sys", "information_schema", "performance_schema", "test"}

// quoteName quotes a name as SQL wants it.
func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// mysqlConfig is a connection to the server of an addon.
func mysqlConfig(network, address, user, password string) *mysql.Config {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd = network, address, user, password
	c.Timeout = 5 * time.Second
	c.InterpolateParams = true
	c.MaxAllowedPacket = 0 // what the server takes
	c.Logger = &mysql.NopLogger{}
	_ = c.Apply(mysql.Charset("utf8mb4", "")) // has no error
	return c
}

// mysqlConn is some connections to a server.
type mysqlConn struct {
	*sql.DB
	config  *mysql.Config
	own     bool
	version string
}

func (c *mysqlConn) close() { _ = c.Close() }

func (c *mysqlConn) where() string { return "MySQL at " + c.config.Addr }

func (c *mysqlConn) mariadb() bool { return strings.Contains(c.version, "MariaDB") }

// connectMySQL connects, and asks for the version.
func connectMySQL(ctx context.Context, config *mysql.Config, isOwn bool) (*mysqlConn, error) {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	c := &mysqlConn{DB: sql.OpenDB(connector), config: config, own: isOwn}
	c.SetMaxOpenConns(2)
	if err := c.row(ctx, "SELECT VERSION()", nil, &c.version); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// asApp connects as the app does.
func (m *MySQL) asApp(ctx context.Context, a hop3.Addon) (*mysqlConn, error) {
	config, err := m.adminConfig(a)
	if err != nil {
		return nil, err
	}
	app := mysqlConfig("tcp", net.JoinHostPort(a.Details[detailHost], a.Details[detailPort]), a.Details[detailUser], a.Details[detailPassword])
	if config.Net == "unix" && m.server.Setting("MYSQL_PORT") == "" {
		app.Net, app.Addr = config.Net, config.Addr
	}
	app.DBName, app.DialFunc = a.Details[mysqlDatabase], config.DialFunc
	return connectMySQL(ctx, app, own(a))
}

// admin connects as who may do all.
func (m *MySQL) admin(ctx context.Context, a hop3.Addon) (*mysqlConn, error) {
	config, err := m.adminConfig(a)
	if err != nil {
		return nil, err
	}
	return connectMySQL(ctx, config, own(a))
}

func (m *MySQL) adminConfig(a hop3.Addon) (*mysql.Config, error) {
	if own(a) {
		state, err := m.ownState(a)
		if err != nil {
			return nil, err
		}
		config := mysqlConfig("tcp", net.JoinHostPort("127.0.0.1", state.Port), mysqlAdminUser, state.Password)
		port, _ := strconv.Atoi(state.Port)
		config.DialFunc = dialService(m.server, a.Details[detailService], port)
		return config, nil
	}
	host, port := m.server.Setting("MYSQL_HOST"), m.configuredPort()
	if a.Details[detailHost] != hostForApps(host) || a.Details[detailPort] != port {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "%s is on the MySQL server at %s, which is not the one that is configured", a.ID(), net.JoinHostPort(a.Details[detailHost], a.Details[detailPort])).
			WithHint("The admin sets MYSQL_HOST and MYSQL_PORT to it again, or moves the addon by a dump.")
	}
	network, address := "tcp", net.JoinHostPort(host, port)
	if strings.HasPrefix(host, "/") {
		network, address = "unix", host
	}
	user := m.server.Setting("MYSQL_SUPERUSER")
	if user == "" {
		user = "root"
	}
	return mysqlConfig(network, address, user, m.server.Setting("MYSQL_SUPERUSER_PASSWORD")), nil
}
