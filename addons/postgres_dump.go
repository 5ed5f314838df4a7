package addons

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/abilian/hop3/hop3"
)

// DumpSuffix returns ".sql".
func (*Postgres) DumpSuffix() string { return ".sql" }

// Dump implements hop3.AddonDumper by pg_dump, which works as the addon's user
// on the snapshot that the rows are counted in.
func (p *Postgres) Dump(ctx context.Context, a hop3.Addon, w io.Writer) (hop3.Inventory, error) {
	d, conn, err := p.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	program, err := conn.dumper()
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgSnapshot)
	if err != nil {
		return nil, conn.failure(ctx, "be dumped", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var shared string
	if err := tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&shared); err != nil {
		return nil, conn.failure(ctx, "be dumped", err)
	}
	held, err := pgCount(ctx, tx)
	if err != nil {
		return nil, conn.failure(ctx, "be counted", err)
	}
	sequences, err := conn.dump(ctx, program, d, shared, w)
	if err != nil {
		return nil, err
	}
	// A snapshot does not hold sequences: what counts is what was dumped.
	for name := range held {
		if strings.HasPrefix(name, pgSequence) {
			delete(held, name)
		}
	}
	for name, value := range sequences {
		held[pgSequence+name] = value
	}
	return held, nil
}

// Inventory implements hop3.AddonDumper: the rows of tables, the last values of
// sequences, and the number of large objects.
func (p *Postgres) Inventory(ctx context.Context, a hop3.Addon) (hop3.Inventory, error) {
	_, conn, err := p.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	tx, err := conn.BeginTx(ctx, pgSnapshot)
	if err != nil {
		return nil, conn.failure(ctx, "be counted", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	held, err := pgCount(ctx, tx)
	if err != nil {
		return nil, conn.failure(ctx, "be counted", err)
	}
	return held, nil
}

var pgSnapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

const pgSequence = "sequence "

// pgRelations are the tables and sequences that are the addon's own, and not an
// extension's.
const pgRelations = `SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = $1 AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
	AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') ORDER BY 1, 2`

func pgCount(ctx context.Context, tx pgx.Tx) (hop3.Inventory, error) {
	held := hop3.Inventory{}
	for kind, query := range map[string]string{
		"r": "SELECT count(*) FROM ONLY %s",
		"S": "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %s",
	} {
		rows, err := tx.Query(ctx, pgRelations, kind)
		if err != nil {
			return nil, err
		}
		relations, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (name [2]string, err error) {
			return name, r.Scan(&name[0], &name[1])
		})
		if err != nil {
			return nil, err
		}
		for _, r := range relations {
			var n int64
			if err := tx.QueryRow(ctx, fmt.Sprintf(query, pgQuote(r[0], r[1]))).Scan(&n); err != nil {
				return nil, err
			}
			if kind == "S" {
				var name string // as pg_dump writes it
				if err := tx.QueryRow(ctx, "SELECT format('%I.%I', $1::text, $2::text)", r[0], r[1]).Scan(&name); err != nil {
					return nil, err
				}
				held[pgSequence+name] = n
				continue
			}
			held[r[0]+"."+r[1]] = n
		}
	}
	var objects int64
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM pg_largeobject_metadata").Scan(&objects); err != nil {
		return nil, err
	}
	if objects > 0 {
		held["large objects"] = objects
	}
	return held, nil
}

// dumper finds a pg_dump that is not older than the server.
func (c *pgConn) dumper() (string, error) {
	text := c.PgConn().ParameterStatus("server_version")
	server := pgVersionIn(text)
	programs, err := pgPrograms("", "pg_dump")
	if err != nil {
		return "", hop3.Errorf(hop3.CodeUnavailable, "pg_dump is not installed, which dumps databases of PostgreSQL").
			WithHint("On Debian and Ubuntu: apt install postgresql-client")
	}
	out, err := exec.Command(programs["pg_dump"], "--version").Output()
	if err != nil {
		return "", hop3.Errorf(hop3.CodeUnavailable, "%s does not work: %w", programs["pg_dump"], err)
	}
	if own := pgVersionIn(string(out)); own < server {
		return "", hop3.Errorf(hop3.CodeUnavailable, "%s is of version %d and cannot dump databases of PostgreSQL %d", programs["pg_dump"], own, server).
			WithHint("Install the client of that version. On Debian and Ubuntu: apt install postgresql-client-%d", server)
	}
	return programs["pg_dump"], nil
}

// pgVersionIn returns the major version in "pg_dump (PostgreSQL) 15.18 (Debian…)".
func pgVersionIn(text string) int {
	for word := range strings.FieldsSeq(text) {
		digits := len(word) - len(strings.TrimLeft(word, "0123456789"))
		if n, err := strconv.Atoi(word[:digits]); err == nil {
			return n
		}
	}
	return 0
}

// dump runs pg_dump on a snapshot, and returns the sequences it wrote.
func (c *pgConn) dump(ctx context.Context, program string, d pgDetails, snapshot string, w io.Writer) (map[string]int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--format=plain", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions",
		"--encoding=UTF8", "--no-password", "--snapshot="+snapshot)
	mode := "prefer"
	if c.address.own {
		mode = "disable"
	}
	// The environment is the server's alone to see; arguments are everybody's.
	cmd.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C.UTF-8", "PGHOST=" + c.address.host, "PGPORT=" + strconv.Itoa(c.address.port),
		"PGUSER=" + d.user, "PGPASSWORD=" + d.password, "PGDATABASE=" + d.database, "PGSSLMODE=" + mode, "PGCONNECT_TIMEOUT=15",
	}
	var said pgComplaint
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("running pg_dump: %w", err)
	}
	found := pgSequences{w: w, values: map[string]int64{}}
	_, copied := io.CopyBuffer(&found, out, make([]byte, 128<<10))
	if copied != nil {
		cancel() // nobody reads any more
	}
	ended := cmd.Wait()
	switch {
	case copied != nil:
		return nil, fmt.Errorf("writing the dump: %w", copied)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("dumping %s: %w", d.database, context.Cause(ctx))
	case ended != nil:
		return nil, hop3.Errorf(hop3.CodeUnavailable, "pg_dump of %s failed: %s", d.database, said.text())
	}
	return found.values, nil
}

// pgSequences passes a dump of pg_dump on and notes the values that it gives
// to sequences. Data are not looked into: they may look like anything.
type pgSequences struct {
	w      io.Writer
	line   []byte // the beginning of a line that is not whole yet
	data   bool   // in the rows of a COPY
	values map[string]int64
}

// pgLineStart is how much of a line is looked at.
const pgLineStart = 64 << 10

func (s *pgSequences) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		part := rest
		if end >= 0 {
			part, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		switch {
		case end >= 0 && len(s.line) == 0:
			s.look(part)
		default:
			s.line = append(s.line, part[:min(len(part), pgLineStart-min(len(s.line), pgLineStart))]...)
			if end >= 0 {
				s.look(s.line)
				s.line = s.line[:0]
			}
		}
	}
	return s.w.Write(p)
}

var (
	pgSetval   = []byte("SELECT pg_catalog.setval('")
	pgCopyFrom = []byte("COPY ")
	pgStdin    = []byte(" FROM stdin;")
)

func (s *pgSequences) look(line []byte) {
	switch {
	case s.data:
		s.data = string(line) != `\.`
	case bytes.HasPrefix(line, pgCopyFrom):
		s.data = bytes.HasSuffix(line, pgStdin)
	case bytes.HasPrefix(line, pgSetval):
		name, call, ok := strings.Cut(string(line[len(pgSetval):]), "', ")
		value, called, _ := strings.Cut(strings.TrimSuffix(call, ");"), ", ")
		n, err := strconv.ParseInt(value, 10, 64)
		if !ok || err != nil {
			return
		}
		if called != "true" {
			n = 0
		}
		s.values[strings.ReplaceAll(name, "''", "'")] = n
	}
}

// pgComplaint keeps the end of what a program says of its failure.
type pgComplaint struct {
	mu   sync.Mutex
	kept []byte
}

func (c *pgComplaint) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, p...)
	c.kept = c.kept[max(0, len(c.kept)-1<<10):]
	return len(p), nil
}

func (c *pgComplaint) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(c.kept), ""))
}

var errPgCutOff = errors.New("the dump ends before its end: it is not whole")
