package addons_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// pgWorld is a provider and what a test does with it.
type pgWorld struct {
	*testing.T
	*addons.Postgres
}

func newPgWorld(t *testing.T, server hop3.AddonServer) pgWorld {
	t.Helper()
	p := new(addons.Postgres)
	if err := p.Open(server); err != nil {
		t.Fatal(err)
	}
	return pgWorld{t, p}
}

func (w pgWorld) planned(name string, dedicated bool) hop3.Addon {
	w.Helper()
	a := hop3.Addon{Type: "postgres", Name: name, Dedicated: dedicated, Options: pgClient.Options}
	details, err := w.Plan(w.Context(), a)
	if err != nil {
		w.Fatal(err)
	}
	a.Details = details
	w.Cleanup(func() {
		if err := w.Destroy(context.WithoutCancel(w.Context()), a); err != nil {
			w.Error(err)
		}
	})
	return a
}

func (w pgWorld) made(name string, dedicated bool) hop3.Addon {
	w.Helper()
	a := w.planned(name, dedicated)
	if err := w.Create(w.Context(), a); err != nil {
		w.Fatal(err)
	}
	return a
}

func (w pgWorld) write(a hop3.Addon, key, value string) {
	w.Helper()
	if err := pgClient.Write(w.Context(), w.Variables(a), key, value); err != nil {
		w.Fatal(err)
	}
}

// holds waits, as apps do, for a server that is starting again.
func (w pgWorld) holds(a hop3.Addon, key, want string) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got, err := pgClient.Read(w.Context(), w.Variables(a), key)
		if err != nil && time.Now().Before(deadline) {
			continue
		}
		if err != nil || got != want {
			w.Errorf("%s has %q under %q, %v; want %q", a.Name, got, key, err, want)
		}
		return
	}
}

func (w pgWorld) dump(a hop3.Addon) (string, hop3.Inventory) {
	w.Helper()
	var text bytes.Buffer
	held, err := w.Dump(w.Context(), a, &text)
	if err != nil {
		w.Fatal(err)
	}
	return text.String(), held
}

// run executes SQL as the app.
func (w pgWorld) run(a hop3.Addon, sql string) {
	w.Helper()
	err := asApp(w.Context(), w.Variables(a), func(c *pgx.Conn) error {
		_, err := c.Exec(w.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// TestPostgresDedicated is a service that one addon has for itself.
func TestPostgresDedicated(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	home := servicestest.Home(t)
	s := servicestest.Open(t, home, servicestest.Sandbox(t, home))
	t.Cleanup(func() { servicestest.End(t, home, s) })
	w := newPgWorld(t, hop3test.AddonServer{Runs: unsafeServices{s}})
	service := func(a hop3.Addon) string { return filepath.Join(home, "services", a.Details["service"]) }

	a := w.planned("Own_One", true)
	if _, err := os.Stat(service(a)); a.Details["service"] == "" || !os.IsNotExist(err) {
		t.Fatalf("the plan has the service %q, and: %v", a.Details["service"], err)
	}
	if err := w.Destroy(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	w.write(a, "key", "value")
	text, held := w.dump(a)

	// The server is killed, and with it, in the middle, all its connections.
	pid, err := os.ReadFile(filepath.Join(service(a), "data", "cluster", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.SplitN(string(pid), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	kill := func() {
		if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	half := len(text) / 2
	err = w.Restore(t.Context(), a, io.MultiReader(strings.NewReader(text[:half]), readerFunc(func([]byte) (int, error) { kill(); return 0, io.EOF }), strings.NewReader(text[half:])))
	if err == nil {
		t.Error("a restore into a server that is killed is no error")
	}
	w.holds(a, "key", "value")
	if _, err := w.Status(t.Context(), a); err != nil {
		t.Error(err)
	}
	w.write(a, "key", "changed")
	if err := w.Restore(t.Context(), a, strings.NewReader(text)); err != nil {
		t.Error(err)
	}
	w.holds(a, "key", "value")
	if got, err := w.Inventory(t.Context(), a); err != nil || !maps.Equal(got, held) {
		t.Errorf("it holds %v, %v; want %v", got, err, held)
	}

	if err := w.Destroy(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(service(a)); !os.IsNotExist(err) {
		t.Errorf("the service is still there: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestPostgresElsewhere(t *testing.T) {
	t.Parallel()
	settings := configuredPostgres(t)
	server := hop3test.AddonServer{Settings: settings}
	t.Run("two plans of one name", func(t *testing.T) {
		w := newPgWorld(t, server)
		a, b := w.made("my-app", false), hop3.Addon{}
		// As planned before the other was made: both have the same names.
		b = a
		b.Name, b.Details = "my_app", maps.Clone(a.Details)
		b.Details["id"], b.Details["password"] = "another", "another password of b"
		w.write(a, "key", "value")
		if err := w.Create(t.Context(), b); hop3.CodeOf(err) != hop3.CodeConflict {
			t.Errorf("Create of the second: %v", err)
		}
		if err := w.Restore(t.Context(), b, strings.NewReader("")); hop3.CodeOf(err) != hop3.CodeConflict {
			t.Errorf("Restore of the second: %v", err)
		}
		if err := w.Revoke(t.Context(), b, b.Details); err != nil {
			t.Errorf("Revoke of the second: %v", err)
		}
		if err := w.Destroy(t.Context(), b); err != nil {
			t.Errorf("Destroy of the second: %v", err)
		}
		w.holds(a, "key", "value")
	})
	t.Run("a database that is not Hop3's", func(t *testing.T) {
		w := newPgWorld(t, server)
		admin, err := pgx.Connect(t.Context(), adminURL(settings))
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close(context.Background())
		if _, err := admin.Exec(t.Context(), "CREATE DATABASE their_own"); err != nil {
			t.Fatal(err)
		}
		a := w.made("their-own", false)
		if got := a.Details["database"]; got == "their_own" || !strings.HasPrefix(got, "their_own_") {
			t.Errorf("the addon has the database %q", got)
		}
		a.Details["database"] = "their_own"
		if err := w.Create(t.Context(), a); hop3.CodeOf(err) != hop3.CodeConflict {
			t.Errorf("Create over it: %v", err)
		}
	})
	t.Run("a database half dropped", func(t *testing.T) {
		w := newPgWorld(t, server)
		admin, err := pgx.Connect(t.Context(), adminURL(settings))
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close(context.Background())
		a := w.made("half", false)
		for _, what := range []func() error{func() error { return w.Create(t.Context(), a) }, func() error { return w.Destroy(t.Context(), a) }} {
			w.write(a, "key", "value")
			if _, err := admin.Exec(t.Context(), "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'"); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(what(), w.Create(t.Context(), a)); err != nil {
				t.Error(err)
			}
			w.holds(a, "key", "")
		}
	})
	t.Run("hostile dumps", func(t *testing.T) { hostileDumps(t, newPgWorld(t, server)) })
	t.Run("forms of dumps", func(t *testing.T) { formsOfDumps(t, newPgWorld(t, server)) })
	t.Run("dumps of others", func(t *testing.T) { foreignDumps(t, newPgWorld(t, server)) })
	t.Run("extensions", func(t *testing.T) { extensionsOf(t, settings) })
	t.Run("a dump is of one moment", func(t *testing.T) { oneMoment(t, newPgWorld(t, server)) })
	t.Run("actions", func(t *testing.T) { actionsOf(t, newPgWorld(t, server)) })
	t.Run("no log has a password", func(t *testing.T) {
		w := newPgWorld(t, server)
		a := w.made("logged", false)
		next, err := w.Rotated(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		old := a.Details["password"]
		a.Details, a.Last = next, a.Details
		if err := w.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := w.Revoke(t.Context(), a, a.Last); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(settings["LOG"])
		if err != nil || !bytes.Contains(log, []byte("LOGIN PASSWORD 'SCRAM-SHA-256$")) {
			t.Fatalf("the log has no statements: %v", err)
		}
		for _, secret := range []string{old, next["password"], settings["POSTGRES_SUPERUSER_PASSWORD"]} {
			if bytes.Contains(log, []byte(secret)) {
				t.Errorf("the log has the password %q in it", secret)
			}
		}
	})
}

// hostileDumps are such as do more than restore.
func hostileDumps(t *testing.T, w pgWorld) {
	a, other := w.made("attacked", false), w.made("bystander", false)
	w.write(a, "key", "value")
	w.write(other, "key", "value")
	text, _ := w.dump(a)
	head, tail, ok := strings.Cut(text, "SET statement_timeout = 0;\n")
	if !ok {
		t.Fatalf("the dump begins otherwise:\n%.500s", text)
	}
	owned := filepath.Join(t.TempDir(), "owned")
	for _, hostile := range []string{
		`\! touch ` + owned, `\connect bystander`, `SELECT 1 \gexec`, "\\restrict x\n\\! touch " + owned,
		"COPY (SELECT 1) TO PROGRAM 'touch " + owned + "';", "CREATE TABLE x (t text); COPY x FROM PROGRAM 'id';",
		"DROP DATABASE bystander;", "DROP DATABASE attacked;", "ALTER DATABASE attacked SET search_path = 'x';", "ALTER ROLE attacked_user SUPERUSER;", "SET ROLE attacked_owner; DROP DATABASE attacked;",
		"CREATE EXTENSION IF NOT EXISTS file_fdw WITH SCHEMA public;", "BEGIN; CREATE TABLE y ();", "DO $$ BEGIN PERFORM pg_read_file('/etc/passwd'); END $$;", "SELECT '",
	} {
		if err := w.Restore(t.Context(), a, strings.NewReader(head+hostile+"\n"+tail)); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%q: %v", hostile, err)
		}
	}
	if _, err := os.Stat(owned); !os.IsNotExist(err) {
		t.Error("a dump ran a program")
	}
	w.holds(a, "key", "value")
	w.holds(other, "key", "value")
}

// foreignDumps are made elsewhere, by another version or with another owner.
func foreignDumps(t *testing.T, w pgWorld) {
	a := w.made("from-elsewhere", false)
	const text = `--
-- PostgreSQL database dump
--
\restrict AbC
SET statement_timeout = 0;
SET transaction_timeout_of_a_newer_version = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;
COMMENT ON EXTENSION hstore IS 'data type for storing sets of (key, value) pairs';
CREATE SCHEMA public;
ALTER SCHEMA public OWNER TO postgres;
CREATE TABLE public.kept (key text NOT NULL, value text, n integer);
ALTER TABLE public.kept OWNER TO blog_user;
CREATE FUNCTION public.two() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 ELSE 3 END; END;
CREATE FUNCTION public.quoted() RETURNS text LANGUAGE plpgsql AS $_$ begin return '; \! id'; end; $_$;
/* a comment; /* in a comment; */ */
COPY public.kept (key, value, n) FROM stdin;
key	value; \\! id	1
other	\N	2
\.

GRANT ALL ON TABLE public.kept TO blog_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE blog_user GRANT SELECT ON TABLES TO blog_reader;
CREATE RULE r AS ON DELETE TO public.kept DO ALSO (SELECT 1; SELECT 2);
\unrestrict AbC
--
-- PostgreSQL database dump complete
--

`
	for _, text := range []string{text, strings.ReplaceAll(text, "\n", "\r\n")} {
		if err := w.Restore(t.Context(), a, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		w.holds(a, "key", `value; \! id`)
		w.run(a, "DO $$ BEGIN ASSERT public.two() = 2; ASSERT public.quoted() = '; \\! id'; END $$; ALTER TABLE kept ADD COLUMN more hstore")
	}
	if _, err := w.Dump(t.Context(), a, io.Discard); err != nil {
		t.Error(err)
	}
}

func extensionsOf(t *testing.T, settings map[string]string) {
	for name, want := range map[string]hop3.Code{
		"hstore": "", "UUID-OSSP": "", "earthdistance": "", "pageinspect": "", "dblink": hop3.CodeInvalid, "plperlu": hop3.CodeInvalid,
		"lo": hop3.CodeInvalid, `x"; DROP`: hop3.CodeInvalid, "": hop3.CodeInvalid, "no_such_thing": hop3.CodeUnavailable,
	} {
		w := newPgWorld(t, with(settings, "HOP3_EXTRA_PG_EXTENSIONS", "pageinspect, no_such_thing,dblink"))
		a := hop3.Addon{Type: "postgres", Name: "extended", Options: map[string][]string{"extensions": {name}}}
		details, err := w.Plan(t.Context(), a)
		if hop3.CodeOf(err) != want {
			t.Errorf("%s: Plan: %v", name, err)
		}
		if err != nil || name != "earthdistance" {
			continue // one is enough to be made: it needs another one
		}
		a.Details = details
		err = w.Create(t.Context(), a)
		if err == nil {
			err = asApp(t.Context(), w.Variables(a), func(c *pgx.Conn) error {
				_, err := c.Exec(t.Context(), "SELECT earth()")
				return err
			})
		}
		if err := errors.Join(err, w.Destroy(t.Context(), a)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// oneMoment dumps while an app writes: two rows, always both or none.
func oneMoment(t *testing.T, w pgWorld) {
	a, b := w.made("busy", false), w.made("copied", false)
	w.run(a, "CREATE TABLE one (id bigserial); CREATE TABLE two (id bigserial)")
	ctx, stop := context.WithCancel(t.Context())
	wrote := make(chan error, 1)
	go func() {
		wrote <- asApp(ctx, w.Variables(a), func(c *pgx.Conn) (err error) {
			for err == nil {
				_, err = c.Exec(ctx, "BEGIN; INSERT INTO one DEFAULT VALUES; INSERT INTO two DEFAULT VALUES; COMMIT", pgx.QueryExecModeSimpleProtocol)
			}
			return err
		})
	}()
	var text bytes.Buffer
	held, err := w.Dump(t.Context(), a, &text)
	stop()
	if got := <-wrote; !errors.Is(got, context.Canceled) {
		t.Error(got)
	}
	if err == nil {
		err = w.Restore(t.Context(), b, &text)
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Inventory(t.Context(), b)
	if err != nil || hop3.CheckInventory(held, got) != nil || held["public.one"] != held["public.two"] {
		t.Errorf("dumped %v, restored %v, %v", held, got, err)
	}
}

func actionsOf(t *testing.T, w pgWorld) {
	a := w.made("acted-on", false)
	w.write(a, "key", "value")
	do := func(name string, args ...string) hop3.AddonReport {
		for _, action := range w.Actions() {
			if action.Name == name {
				report, err := action.Run(t.Context(), a, args)
				if err != nil {
					t.Fatalf("%s %q: %v", name, args, err)
				}
				return report
			}
		}
		t.Fatalf("there is no action %s", name)
		return hop3.AddonReport{}
	}
	for _, args := range [][]string{{"--command", "SELECT value, NULL AS no FROM kept"}, {"SELECT", "value,", "NULL", "AS", "no FROM kept"}, {"--command=SELECT value, NULL AS no FROM kept"}} {
		if r := do("query", args...); strings.Join(r.Headers, ",") != "value,no" || len(r.Rows) != 1 || r.Rows[0][0] != "value" {
			t.Errorf("query %q: %+v", args, r)
		}
	}
	if r := do("query", "UPDATE kept SET value = 'new'"); r.Text != "UPDATE 1" {
		t.Errorf("an update: %+v", r)
	}
	if r := do("query", "SELECT generate_series(1, 1000000)"); len(r.Rows) != 1000 || r.Text == "" {
		t.Errorf("a million rows: %d, %q", len(r.Rows), r.Text)
	}
	if err := asApp(t.Context(), w.Variables(a), func(c *pgx.Conn) error {
		if _, err := c.Exec(t.Context(), "BEGIN; LOCK TABLE kept", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		if r := do("activity"); len(r.Rows) != 1 || !strings.Contains(r.Rows[0][6], "LOCK TABLE kept") {
			t.Errorf("activity: %+v", r)
		}
		if r := do("locks"); len(r.Rows) == 0 {
			t.Errorf("locks: %+v", r)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if r := do("settings"); len(r.Rows) == 0 {
		t.Errorf("settings: %+v", r)
	}
	if r := do("extensions"); len(r.Rows) == 0 {
		t.Errorf("extensions: %+v", r)
	}
}
