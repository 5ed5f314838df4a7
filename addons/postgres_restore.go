package addons

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/abilian/hop3/hop3"
)

// Restore implements hop3.AddonDumper. The dump goes into a database beside the
// addon's, as a user who is only for that: whatever is in the dump, it does no
// harm elsewhere, nor to what the addon holds. Only when all of it is there do
// the two databases change names, in one transaction: until then apps go on
// with what they have, and afterwards they connect anew.
func (p *Postgres) Restore(ctx context.Context, a hop3.Addon, r io.Reader) error {
	d, extensions, conn, err := p.toMake(ctx, a)
	if err != nil {
		return err
	}
	defer conn.close()
	if found, err := conn.role(ctx, d, d.owner); err != nil {
		return err
	} else if !found {
		return hop3.Errorf(hop3.CodeNotFound, "%s is not there to restore into", a.ID()).WithHint("Create it first.")
	}
	// What an earlier restore left that was killed is dropped too.
	if err := conn.discard(ctx, d); err != nil {
		return err
	}
	restorer := d
	restorer.owner, restorer.user, restorer.password = d.scratch("restore"), d.scratch("restore"), password()
	fresh := d.scratch("new")
	err = conn.createRestorer(ctx, restorer)
	if err == nil {
		err = conn.createDatabase(ctx, restorer, fresh)
	}
	if err == nil {
		err = p.furnish(ctx, restorer, fresh, extensions)
	}
	if err == nil {
		err = pgPlain(ctx, r, func(sql io.Reader) error { return p.play(ctx, restorer, fresh, newPgScript(sql)) })
	}
	if err == nil {
		err = p.handOver(ctx, restorer, d, fresh)
	}
	if err == nil {
		err = conn.exchange(ctx, d, fresh, d.scratch("old"))
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), pgTidy)
	defer cancel()
	left := conn.discard(after, d)
	if ctx.Err() != nil {
		return err // the next restore or Destroy drops what is left
	}
	return errors.Join(err, left)
}

// pgTidy is how long it may take to drop what a restore leaves.
const pgTidy = time.Minute

// scratch is the name of what there is only during a restore. No addon's name
// becomes one of these.
func (d pgDetails) scratch(what string) string { return "hop3_" + d.id + "_" + what }

// createRestorer makes the user that a dump is restored as.
func (c *pgConn) createRestorer(ctx context.Context, r pgDetails) error {
	verifier, err := pgVerifier(r.password)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, c.Conn, func(tx pgx.Tx) error {
		return c.createRole(ctx, tx, r, r.user, "LOGIN PASSWORD "+pgLiteral(verifier))
	})
	if err != nil {
		return c.failure(ctx, "make a user for the restore", err)
	}
	return nil
}

// handOver gives all that was restored to the addon.
func (p *Postgres) handOver(ctx context.Context, from, to pgDetails, database string) error {
	conn, err := p.adminOf(ctx, from, database)
	if err != nil {
		return err
	}
	defer conn.close()
	_, err = conn.Exec(ctx, pgStatement("REASSIGN OWNED BY %s TO %s", from.owner, to.owner))
	if err == nil {
		_, err = conn.Exec(ctx, pgStatement("DROP OWNED BY %s", from.owner))
	}
	for _, s := range []string{"GRANT ALL ON DATABASE %s TO %s", "ALTER DATABASE %s OWNER TO %s"} {
		if err == nil {
			_, err = conn.Exec(ctx, pgStatement(s, database, to.owner))
		}
	}
	if err == nil {
		_, err = conn.Exec(ctx, "GRANT ALL ON SCHEMA public TO "+pgQuote(to.owner))
		if pgCode(err) == "3F000" { // the dump has none
			err = nil
		}
	}
	if err != nil {
		return conn.failure(ctx, "give the addon what was restored", err)
	}
	return conn.actAsOwner(ctx, to, database)
}

// discard drops what there is only during a restore.
func (c *pgConn) discard(ctx context.Context, d pgDetails) error {
	for _, name := range []string{d.scratch("new"), d.scratch("old")} {
		found, err := c.names(ctx, `SELECT d.datname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
			WHERE d.datname = $1 AND shobj_description(r.oid, 'pg_authid') = $2`, name, d.mark())
		if err == nil && len(found) > 0 {
			err = c.dropDatabase(ctx, name)
		}
		if err != nil {
			return c.failure(ctx, "drop what is left of a restore", err)
		}
	}
	found, err := c.role(ctx, d, d.scratch("restore"))
	if err == nil && found {
		_, err = c.Exec(ctx, "DROP ROLE "+pgQuote(d.scratch("restore")))
	}
	if err != nil {
		return c.failure(ctx, "drop what is left of a restore", err)
	}
	return nil
}

// exchange gives the addon another database instead of the one it has.
func (c *pgConn) exchange(ctx context.Context, d pgDetails, fresh, old string) error {
	err := c.empty(ctx, fresh)
	if err == nil {
		err = c.empty(ctx, d.database)
	}
	if err == nil {
		err = c.rename(ctx, d, fresh, old)
	}
	// Whichever it is by now.
	_, opened := c.Exec(context.WithoutCancel(ctx), pgStatement("ALTER DATABASE %s ALLOW_CONNECTIONS true", d.database))
	if err := errors.Join(err, opened); err != nil {
		return c.failure(ctx, "replace the addon's database by the restored one", err)
	}
	return nil
}

func (c *pgConn) rename(ctx context.Context, d pgDetails, fresh, old string) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	for _, s := range []string{
		pgStatement("ALTER DATABASE %s RENAME TO %s", d.database, old),
		pgStatement("ALTER DATABASE %s RENAME TO %s", fresh, d.database),
	} {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// play executes a dump as the user who is for that.
func (p *Postgres) play(ctx context.Context, d pgDetails, database string, s *pgScript) error {
	conn, err := p.app(ctx, d, database)
	if err != nil {
		return err
	}
	defer conn.close()
	// All that is lost when the machine fails now is thrown away then. What was
	// not written by pg_dump counts on the search path that there always is.
	for _, setting := range []string{"SET synchronous_commit = off", `SET search_path = "$user", public`} {
		if _, err := conn.Exec(ctx, setting); err != nil {
			return conn.failure(ctx, "be restored into", err)
		}
	}
	for done := 0; ; done++ {
		text, err := s.next()
		if errors.Is(err, io.EOF) {
			if done == 0 && !s.ended {
				return s.errorf("%v", errPgEmpty)
			}
			break
		} else if err != nil {
			return err
		}
		if err := p.execute(ctx, conn, d, database, s, text); err != nil {
			return err
		}
	}
	if s.dumped && !s.ended {
		return s.errorf("%v", errPgCutOff)
	}
	if conn.PgConn().TxStatus() != 'I' {
		return s.errorf("it ends within a transaction")
	}
	return nil
}

var (
	pgCopyStatement = regexp.MustCompile(`(?is)^COPY\s.*\sFROM\s+stdin(\s.*)?$`)
	// Who owns what, and who may use it, is the addon's own affair, whoever
	// owned it where the dump is from.
	pgOwnership       = regexp.MustCompile(`(?is)^(ALTER\s.*\sOWNER\s+TO\s+\S+|GRANT\s.*|REVOKE\s.*|ALTER\s+DEFAULT\s+PRIVILEGES\s.*|COMMENT\s+ON\s+EXTENSION\s.*)$`)
	pgCreateExtension = regexp.MustCompile(`(?is)^CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?("[^"]+"|[a-z0-9_]+)(?:\s+(?:WITH\s+)?SCHEMA\s+("[^"]+"|[a-z0-9_]+))?(?:\s.*)?$`)
	pgCreatePublic    = regexp.MustCompile(`(?is)^CREATE\s+SCHEMA\s+public$`)
	pgSetting         = regexp.MustCompile(`(?is)^SET\s+[a-z_.]+\s*(=|\sTO\s)`)
)

// execute executes a statement of a dump. It goes to the server by itself: one
// statement is never two.
func (p *Postgres) execute(ctx context.Context, conn *pgConn, d pgDetails, database string, s *pgScript, text string) error {
	text = strings.TrimSpace(text)
	line := s.line
	switch {
	case pgOwnership.MatchString(text):
		return nil
	case pgCopyStatement.MatchString(text):
		if err := conn.copyIn(ctx, s, text); err != nil {
			return conn.refusal(ctx, s, line, err)
		}
		return nil
	case strings.EqualFold(pgFirstWord(text), "COPY"):
		return s.errorf("it copies from elsewhere than the dump")
	}
	if m := pgCreateExtension.FindStringSubmatch(text); m != nil {
		name, err := p.extension(strings.Trim(m[1], `"`))
		if strings.Trim(m[1], `"`) == "plpgsql" {
			return nil // every database has it
		} else if err != nil {
			return err
		}
		admin, err := p.adminOf(ctx, d, database)
		if err != nil {
			return err
		}
		defer admin.close()
		return admin.createExtension(ctx, name, strings.Trim(m[2], `"`))
	}
	result := conn.PgConn().ExecParams(ctx, text, nil, nil, nil, nil)
	for result.NextRow() { // what it returns is of no interest, and may be much
		continue
	}
	_, err := result.Close()
	switch {
	case err == nil:
		return nil
	case pgCreatePublic.MatchString(text) && pgCode(err) == "42P06": // it is there
		return nil
	case pgSetting.MatchString(text) && slices.Contains([]string{"42704", "42501"}, pgCode(err)): // of another version
		return nil
	}
	return conn.refusal(ctx, s, line, err)
}

func pgFirstWord(text string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	word, _, _ = strings.Cut(word, "\n")
	return word
}

// copyIn gives PostgreSQL the rows that follow in the dump.
func (c *pgConn) copyIn(ctx context.Context, s *pgScript, text string) error {
	if s.peek() == '\r' {
		_, _ = s.byte()
	}
	if s.peek() == '\n' {
		_, _ = s.byte()
	}
	rows := s.rows()
	_, err := c.PgConn().CopyFrom(ctx, rows, text)
	if rows.failed != nil {
		return rows.failed // and PostgreSQL only repeats it
	}
	return err
}

// refusal says what PostgreSQL has against a dump.
func (c *pgConn) refusal(ctx context.Context, s *pgScript, line int, err error) error {
	var known *hop3.Error
	switch {
	case ctx.Err() == nil && !c.IsClosed() && pgCode(err) == "" && !errors.As(err, &known):
		return fmt.Errorf("reading the dump: %w", err)
	case pgCode(err) == "", strings.HasPrefix(pgCode(err), "57P"), strings.HasPrefix(pgCode(err), "53"):
		return c.failure(ctx, "restore it", err)
	}
	at := *s
	at.line = line
	return at.errorf("%s", pgMessage(err))
}
