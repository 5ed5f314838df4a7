package addons

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/abilian/hop3/hop3"
)

// ownHosts and configuredHosts are those that users may come from: of a server
// on the loopback, and of any, as in Hop3 for Python.
var (
	ownHosts        = []string{"localhost", "127.0.0.1"}
	configuredHosts = []string{"localhost", "127.0.0.1", "10.%", "172.%", "192.168.%"}
)

// hosts are those that users of the server may come from. This server's own
// address, as the database sees it, is one of them.
func (c *mysqlConn) hosts(ctx context.Context) ([]string, error) {
	if c.own {
		return ownHosts, nil
	}
	var me string
	if err := c.row(ctx, "SELECT USER()", nil, &me); err != nil {
		return nil, err
	}
	host := me[strings.LastIndex(me, "@")+1:]
	for _, h := range configuredHosts {
		if prefix, ok := strings.CutSuffix(h, "%"); host == h || ok && strings.HasPrefix(host, prefix) && net.ParseIP(host) != nil {
			return configuredHosts, nil
		}
	}
	return append(slices.Clone(configuredHosts), host), nil
}

// letIn has a user get in with a password, and do all in a database and
// nothing elsewhere.
func (c *mysqlConn) letIn(ctx context.Context, user, password, database string) error {
	hosts, err := c.hosts(ctx)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		identified, secret := "IDENTIFIED BY ?", password
		if c.mariadb() { // whose logs have statements as they are: they get a hash
			identified, secret = "IDENTIFIED BY PASSWORD ?", nativeHash(password)
		}
		for _, statement := range []string{"CREATE USER IF NOT EXISTS ?@? ", "ALTER USER ?@? "} {
			if err := c.exec(ctx, statement+identified, user, host, secret); err != nil {
				return err
			}
		}
		if err := c.exec(ctx, "GRANT ALL PRIVILEGES ON "+quoteName(mysqlPattern(database))+".* TO ?@?", user, host); err != nil {
			return err
		}
		if err := c.exec(ctx, "ALTER USER ?@? ACCOUNT UNLOCK", user, host); err != nil {
			return err
		}
	}
	return nil
}

// nativeHash is a password as the plug-in mysql_native_password stores it. The
// passwords are of 256 random bits: nobody finds one by its hash.
func nativeHash(password string) string {
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}

// hostsOf returns where a user may come from by now.
func (c *mysqlConn) hostsOf(ctx context.Context, user string) ([]string, error) {
	return c.list(ctx, "SELECT host FROM mysql.user WHERE user = ?", user)
}

// lockOut has a user get in no more, and ends its connections.
func (c *mysqlConn) lockOut(ctx context.Context, user string) error {
	hosts, err := c.hostsOf(ctx, user)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if err := c.exec(ctx, "ALTER USER ?@? ACCOUNT LOCK", user, host); err != nil {
			return err
		}
	}
	return c.disconnect(ctx, user)
}

// removeUser removes a user from all hosts, and ends its connections.
func (c *mysqlConn) removeUser(ctx context.Context, user string) error {
	hosts, err := c.hostsOf(ctx, user)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if err := c.exec(ctx, "DROP USER IF EXISTS ?@?", user, host); err != nil {
			return err
		}
	}
	return c.disconnect(ctx, user)
}

func (c *mysqlConn) disconnect(ctx context.Context, user string) error {
	ids, err := c.list(ctx, "SELECT id FROM information_schema.processlist WHERE user = ?", user)
	if err != nil {
		return err
	}
	for _, id := range ids {
		const gone = 1094 // it has ended by itself meanwhile
		if err := c.exec(ctx, "KILL "+id); err != nil && mysqlNumber(err) != gone {
			return err
		}
	}
	return nil
}

func (c *mysqlConn) hasDatabase(ctx context.Context, name string) (bool, error) {
	found, err := c.list(ctx, "SELECT schema_name FROM information_schema.schemata WHERE schema_name = ?", name)
	return len(found) > 0, err
}

func (c *mysqlConn) exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.ExecContext(ctx, statement, args...)
	return c.failed(ctx, err)
}

// row reads the only row of a query.
func (c *mysqlConn) row(ctx context.Context, query string, args []any, into ...any) error {
	return c.failed(ctx, c.QueryRowContext(ctx, query, args...).Scan(into...))
}

// list reads a column.
func (c *mysqlConn) list(ctx context.Context, query string, args ...any) (list []string, err error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var s sql.NullString
		if err := rows.Scan(&s); err != nil {
			return nil, c.failed(ctx, err)
		}
		list = append(list, s.String)
	}
	return list, c.failed(ctx, rows.Err())
}

// mysqlNumber is the number of an error of the server, 0 of another one.
func mysqlNumber(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// failed makes a sentence of what a server or the way to it says.
func (c *mysqlConn) failed(ctx context.Context, err error) error {
	var known *hop3.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	hint := "Look at `hop3 addon status` again in a moment; the service's log says why it does not run."
	if !c.own {
		hint = "The admin checks MYSQL_HOST, MYSQL_PORT, MYSQL_SUPERUSER and MYSQL_SUPERUSER_PASSWORD."
	}
	var reply *mysql.MySQLError
	switch {
	case !errors.As(err, &reply):
		return unavailable(err, c.where()+" does not answer", hint)
	case reply.Number == 1045 || reply.Number == 1698 || reply.Number == 4151:
		return unavailable(err, fmt.Sprintf("%s refuses the password of %s", c.where(), c.config.User), hint)
	case reply.Number == 1044 || reply.Number == 1142 || reply.Number == 1227 || reply.Number == 1410:
		return unavailable(err, fmt.Sprintf("%s does not allow %s to do it: %s", c.where(), c.config.User, reply.Message), hint)
	}
	return unavailable(err, c.where()+" says: "+reply.Message, hint)
}

// serverSays is the message of an error of the server, on one line.
func serverSays(err error) string {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return strings.Join(strings.Fields(e.Message), " ")
	}
	return err.Error()
}
