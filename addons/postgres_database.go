package addons

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/abilian/hop3/hop3"
)

// Create implements hop3.AddonProvider.
func (p *Postgres) Create(ctx context.Context, a hop3.Addon) error {
	d, extensions, conn, err := p.toMake(ctx, a)
	if err != nil {
		return err
	}
	defer conn.close()
	if err := conn.createRoles(ctx, d); err != nil {
		return conn.failure(ctx, "make the addon's users", err)
	}
	if err := conn.createDatabase(ctx, d, d.database); err != nil {
		return err
	}
	if err := conn.actAsOwner(ctx, d, d.database); err != nil {
		return err
	}
	return p.furnish(ctx, d, d.database, extensions)
}

// Destroy implements hop3.AddonProvider.
func (p *Postgres) Destroy(ctx context.Context, a hop3.Addon) error {
	d, err := pgDetailsOf(a)
	if err != nil {
		return err
	}
	if d.service != "" && d.service != pgShared {
		if p.server.Services() == nil {
			return pgNoServices()
		}
		return p.server.Services().Remove(ctx, d.service)
	}
	if _, err := p.address(ctx, d, false); errors.Is(err, errPgNoService) {
		return nil
	}
	conn, err := p.change(ctx, d)
	if err != nil {
		return err
	}
	defer conn.close()
	databases, err := conn.names(ctx, `SELECT d.datname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE shobj_description(r.oid, 'pg_authid') = $1`, d.mark())
	if err != nil {
		return conn.failure(ctx, "be asked for the addon's database", err)
	}
	for _, name := range databases {
		if err := conn.dropDatabase(ctx, name); err != nil {
			return conn.failure(ctx, "drop the addon's database", err)
		}
	}
	roles, err := conn.names(ctx, `SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = $1`, d.mark())
	if err == nil && len(roles) > 0 {
		for i, name := range roles {
			roles[i] = pgQuote(name)
		}
		_, err = conn.Exec(ctx, "DROP ROLE "+strings.Join(roles, ", "))
	}
	if err != nil {
		return conn.failure(ctx, "drop the addon's users", err)
	}
	return nil
}

// Rotated implements hop3.AddonRotator: the other of the addon's two users,
// with a new password.
func (p *Postgres) Rotated(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	d, err := pgDetailsOf(a)
	if err != nil {
		return nil, err
	}
	users := d.users()
	if d.user == users[0] {
		d.user = users[1]
	} else {
		d.user = users[0]
	}
	d.password = password()
	return d.details(), nil
}

// Revoke implements hop3.AddonRotator. It ends the old user's sessions, and
// gives to the addon what they made as themselves.
func (p *Postgres) Revoke(ctx context.Context, a hop3.Addon, last hop3.AddonDetails) error {
	d, err := pgDetailsOf(a)
	if err != nil {
		return err
	}
	old, err := pgDetailsFrom(a, last)
	if err != nil || old.id != d.id || old.user == d.user {
		return err
	}
	conn, err := p.change(ctx, d)
	if err != nil {
		return err
	}
	defer conn.close()
	if found, err := conn.role(ctx, d, old.user); err != nil || !found {
		return err
	}
	_, err = conn.Exec(ctx, pgStatement("ALTER ROLE %s NOLOGIN", old.user))
	if err == nil {
		_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, old.user)
	}
	if err != nil {
		return conn.failure(ctx, "revoke the old credentials", err)
	}
	inside, err := p.adminOf(ctx, d, d.database)
	if err == nil {
		defer inside.close()
		if _, err = inside.Exec(ctx, pgStatement("REASSIGN OWNED BY %s TO %s", old.user, d.owner)); err == nil {
			_, err = inside.Exec(ctx, pgStatement("DROP OWNED BY %s", old.user))
		}
		if err != nil {
			return conn.failure(ctx, "give the addon what its old user made", err)
		}
	} else if hop3.CodeOf(err) != hop3.CodeNotFound {
		return err
	}
	if _, err := conn.Exec(ctx, pgStatement("DROP ROLE IF EXISTS %s", old.user)); err != nil {
		return conn.failure(ctx, "revoke the old credentials", err)
	}
	return nil
}

// toMake is what makes, or fills, the database of an addon: what that consists
// of, the extensions that are asked for, and a connection as change returns it.
func (p *Postgres) toMake(ctx context.Context, a hop3.Addon) (d pgDetails, extensions []string, conn *pgConn, err error) {
	if d, err = pgDetailsOf(a); err == nil {
		extensions, err = p.extensions(a)
	}
	if err == nil {
		conn, err = p.change(ctx, d)
	}
	return d, extensions, conn, err
}

// change logs in as the superuser and waits for who else changes the addon:
// also for a statement of a server that was killed, which goes on.
func (p *Postgres) change(ctx context.Context, d pgDetails) (*pgConn, error) {
	conn, err := p.admin(ctx, d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(d.mark()))
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(binary.BigEndian.Uint64(sum[:]))); err != nil {
		conn.close()
		return nil, conn.failure(ctx, "be worked with", err)
	}
	return conn, nil
}

// createRoles makes the owner and the user, or gives them what they lack.
func (c *pgConn) createRoles(ctx context.Context, d pgDetails) error {
	verifier, err := pgVerifier(d.password)
	if err != nil {
		return err
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	for role, rights := range map[string]string{d.owner: "NOLOGIN", d.user: "LOGIN PASSWORD " + pgLiteral(verifier)} {
		if err := c.createRole(ctx, tx, d, role, rights); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, pgStatement("GRANT %s TO %s", d.owner, d.user)); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// createRole makes a role that can nothing but what rights say, or changes it.
func (c *pgConn) createRole(ctx context.Context, tx pgx.Tx, d pgDetails, role, rights string) error {
	found, err := c.role(ctx, d, role)
	if err != nil {
		return err
	}
	verb := "CREATE ROLE "
	if found {
		verb = "ALTER ROLE "
	}
	if _, err := tx.Exec(ctx, verb+pgQuote(role)+" NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT "+rights); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "COMMENT ON ROLE "+pgQuote(role)+" IS "+pgLiteral(d.mark())); err != nil {
		return err
	}
	var super bool
	err = tx.QueryRow(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&super)
	if err == nil && !super { // who is not may only give databases to roles that they are in
		_, err = tx.Exec(ctx, "GRANT "+pgQuote(role)+" TO CURRENT_USER")
	}
	return err
}

// role reports whether the addon has a role. One of the name that is not the
// addon's is an error.
func (c *pgConn) role(ctx context.Context, d pgDetails, name string) (found bool, err error) {
	var mark *string
	err = c.QueryRow(ctx, "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1", name).Scan(&mark)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, c.failure(ctx, "be asked for its users", err)
	case mark == nil || *mark != d.mark():
		return false, hop3.Errorf(hop3.CodeConflict, "PostgreSQL at %s has a user '%s' already, who is not this addon's", c.address, name).
			WithHint("Destroy the addon and create it again, or under another name: it then gets other names in PostgreSQL.")
	}
	return true, nil
}

// pgHalfDropped is the limit of connections of a database whose DROP was ended.
const pgHalfDropped = -2

// createDatabase makes a database of the addon's owner, or completes it. Nobody
// can connect to it before everybody else is kept out.
func (c *pgConn) createDatabase(ctx context.Context, d pgDetails, name string) error {
	var owner string
	var limit int
	err := c.QueryRow(ctx, "SELECT pg_get_userbyid(datdba), datconnlimit FROM pg_database WHERE datname = $1", name).Scan(&owner, &limit)
	if err == nil && owner != d.owner {
		return hop3.Errorf(hop3.CodeConflict, "PostgreSQL at %s has a database '%s' already, which is not this addon's", c.address, name).
			WithHint("Destroy the addon and create it again, or under another name: it then gets other names in PostgreSQL.")
	}
	if err == nil && limit == pgHalfDropped {
		if _, err = c.Exec(ctx, "DROP DATABASE "+pgQuote(name)); err == nil {
			err = pgx.ErrNoRows
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		_, err = c.Exec(ctx, pgStatement("CREATE DATABASE %s OWNER %s TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false", name, d.owner))
	}
	for _, s := range []string{
		pgStatement("REVOKE ALL ON DATABASE %s FROM PUBLIC", name),
		pgStatement("GRANT ALL ON DATABASE %s TO %s", name, d.owner),
		pgStatement("ALTER DATABASE %s ALLOW_CONNECTIONS true", name),
	} {
		if err == nil {
			_, err = c.Exec(ctx, s)
		}
	}
	if err != nil {
		return c.failure(ctx, "make the addon's database", err)
	}
	return nil
}

// actAsOwner has all users of the addon act as its owner in a database.
func (c *pgConn) actAsOwner(ctx context.Context, d pgDetails, name string) error {
	users, err := c.names(ctx, `SELECT rolname FROM pg_roles WHERE rolcanlogin AND shobj_description(oid, 'pg_authid') = $1`, d.mark())
	for _, user := range users {
		if err == nil {
			_, err = c.Exec(ctx, pgStatement("ALTER ROLE %s IN DATABASE %s SET role TO %s", user, name, d.owner))
		}
	}
	if err != nil {
		return c.failure(ctx, "set the addon's users up", err)
	}
	return nil
}

// furnish makes what is in a new database.
func (p *Postgres) furnish(ctx context.Context, d pgDetails, database string, extensions []string) error {
	conn, err := p.adminOf(ctx, d, database)
	if err != nil {
		return err
	}
	defer conn.close()
	// From version 15 on the schema is the owner's by itself.
	_, err = conn.Exec(ctx, `DO $$ BEGIN IF current_setting('server_version_num')::int < 150000 THEN REVOKE CREATE ON SCHEMA public FROM PUBLIC; END IF; END $$`)
	if err == nil {
		_, err = conn.Exec(ctx, "GRANT ALL ON SCHEMA public TO "+pgQuote(d.owner))
	}
	// An app may have dropped it: that is its own affair.
	if err != nil && pgCode(err) != "3F000" {
		return conn.failure(ctx, "set the addon's database up", err)
	}
	for _, e := range extensions {
		if err := conn.createExtension(ctx, e, ""); err != nil {
			return err
		}
	}
	return nil
}

// dropDatabase ends who is connected and drops it.
func (c *pgConn) dropDatabase(ctx context.Context, name string) error {
	if err := c.empty(ctx, name); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "DROP DATABASE IF EXISTS "+pgQuote(name))
	return err
}

// empty ends all connections to a database and lets none in.
func (c *pgConn) empty(ctx context.Context, name string) error {
	// One that is half dropped lets nobody in, and to alter it ends our session.
	found, err := c.names(ctx, "SELECT datname FROM pg_database WHERE datname = $1 AND datconnlimit <> $2", name, pgHalfDropped)
	if err == nil && len(found) > 0 {
		_, err = c.Exec(ctx, pgStatement("ALTER DATABASE %s ALLOW_CONNECTIONS false", name))
	}
	if err != nil {
		return err
	}
	for {
		var left int
		err := c.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, name).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// names returns the first column of what a query finds.
func (c *pgConn) names(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// pgCode is the SQLSTATE of what PostgreSQL refuses, "" for another error.
func pgCode(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}

// pgVerifier returns what PostgreSQL keeps of a password (RFC 5803), so that no
// statement, and no log of statements, has the password in it.
func pgVerifier(password string) (string, error) {
	const iterations = 4096
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}
