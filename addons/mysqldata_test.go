package addons_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// newMySQL returns a provider on a server, and a function that makes addons.
func newMySQL(t *testing.T, server hop3.AddonServer) (*addons.MySQL, func(a hop3.Addon) hop3.Addon) {
	t.Helper()
	p := new(addons.MySQL)
	if err := p.Open(server); err != nil {
		t.Fatal(err)
	}
	return p, func(a hop3.Addon) hop3.Addon {
		t.Helper()
		a.Type = "mysql"
		var err error
		if a.Details, err = p.Plan(t.Context(), a); err == nil {
			err = p.Create(t.Context(), a)
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// asked returns what a query answers, as text.
func asked(t *testing.T, env hop3.Env, query string) string {
	t.Helper()
	var text []string
	err := withMySQL(env, func(db *sql.DB) error {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			return err
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				return err
			}
			for _, v := range values {
				text = append(text, v.String)
			}
		}
		return rows.Err()
	})
	if err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return strings.Join(text, "|")
}

func run(t *testing.T, env hop3.Env, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := execMySQL(t.Context(), env, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// hardTables are what dumps easily lose.
var hardTables = []string{
	"CREATE TABLE types (id BIGINT UNSIGNED PRIMARY KEY, b VARBINARY(300), big LONGBLOB, j JSON, t TIMESTAMP(6) NULL, d DECIMAL(60,30), bits BIT(12), e ENUM('a''b','c;d'), g GEOMETRY, made INT AS (LENGTH(e)) STORED, unseen INT INVISIBLE DEFAULT 7)",
	"INSERT INTO types (id, b, big, j, t, d, bits, e, g) VALUES (18446744073709551615, X'000102FF5C27220A0D1A', REPEAT(X'00FF27', 500000), '{\"a\": \"\\\\\"\\\\n\"}', '2026-01-02 03:04:05.123456', 123456789.000000000000000000000000000001, b'101010101010', 'c;d', POINT(1, 2)), (1, NULL, '', NULL, NULL, NULL, NULL, 'a''b', NULL)",
	"CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) COLLATE utf8mb4_bin) AUTO_INCREMENT = 5000",
	"CREATE TABLE a_child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id))",
	"INSERT INTO parent VALUES (1, 'one'), (2, '-- ; /* */ # DELIMITER ;;')", "INSERT INTO a_child VALUES (1, 2)",
	"CREATE TABLE `odd ``name; -- x` (`select` INT, `ü` TEXT)", "INSERT INTO `odd ``name; -- x` VALUES (1, '); DROP TABLE parent; (')",
	"CREATE TABLE empty_one (id INT)",
	"CREATE SEQUENCE numbers START WITH 100", "DO NEXTVAL(numbers)",
	"CREATE TABLE versions (id INT, x INT) WITH SYSTEM VERSIONING", "INSERT INTO versions VALUES (1, 1), (2, 2)",
	"CREATE TRIGGER named BEFORE INSERT ON parent FOR EACH ROW SET NEW.name = CONCAT(NEW.name, '!; -- ')",
	"CREATE TRIGGER named_too BEFORE INSERT ON parent FOR EACH ROW FOLLOWS named SET NEW.name = UPPER(NEW.name)",
	"CREATE VIEW z_view AS SELECT name FROM a_view", "CREATE OR REPLACE SQL SECURITY INVOKER VIEW a_view AS SELECT name FROM parent",
	"CREATE PROCEDURE add_parent(n TEXT) BEGIN IF n <> '' THEN INSERT INTO parent (name) VALUES (n); END IF; END",
	"CREATE FUNCTION plus(a INT) RETURNS INT DETERMINISTIC RETURN a + 1",
	"CREATE EVENT later ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01' DO CALL add_parent('late')",
}

func hardQueries() []string {
	return []string{
		"SELECT id, HEX(b), MD5(big), LENGTH(big), j, t, d, HEX(bits), e, ST_AsText(g), made, unseen FROM types ORDER BY id", "SELECT * FROM parent ORDER BY id", "SELECT * FROM a_child",
		"SELECT * FROM `odd ``name; -- x`", "SELECT * FROM versions ORDER BY id", "SELECT * FROM z_view ORDER BY name", "SELECT plus(1)", "SHOW CREATE TABLE types", "SHOW CREATE TABLE a_child",
		"SELECT table_name, engine, table_collation, auto_increment FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name",
		"SELECT trigger_name, action_statement, sql_mode, action_order FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY trigger_name",
		"SELECT event_name, event_definition, starts, status FROM information_schema.events WHERE event_schema = DATABASE()",
		"SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.schemata WHERE schema_name = DATABASE()",
	}
}

func TestMySQL_Dumps(t *testing.T) {
	t.Parallel()
	needMariaDB(t)
	ctx := t.Context()
	settings := mysqlServer(t)
	p, make := newMySQL(t, hop3test.AddonServer{Settings: settings})
	a, b := make(hop3.Addon{Name: "hard"}), make(hop3.Addon{Name: "hard-too"})
	from, to := p.Variables(a), p.Variables(b)
	run(t, from, "CREATE TABLE parent (id INT, name TEXT)", "CREATE VIEW a_view AS SELECT name FROM parent", "CREATE VIEW z_view AS SELECT name FROM a_view", "DROP TABLE parent", "DROP VIEW z_view", "DROP VIEW a_view")
	for _, s := range hardTables {
		if strings.HasPrefix(s, "CREATE VIEW z_view") {
			run(t, from, "CREATE VIEW a_view AS SELECT name FROM parent")
		}
		run(t, from, s)
	}
	// Another user, who also owns something: the addon has rotated.
	next := a
	var err error
	if next.Details, err = p.Rotated(ctx, a); err == nil {
		err = p.Create(ctx, next)
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, p.Variables(next), "CREATE VIEW of_next AS SELECT id FROM parent")
	if err := p.Revoke(ctx, next, a.Details); err != nil {
		t.Fatal(err)
	}
	a, from = next, p.Variables(next)

	var dump bytes.Buffer
	inventory, err := p.Dump(ctx, a, &dump)
	if err != nil {
		t.Fatal(err)
	}
	if live, err := p.Inventory(ctx, a); err != nil || !maps.Equal(live, inventory) {
		t.Errorf("the dump has %v, the addon %v, %v", inventory, live, err)
	}
	run(t, to, "CREATE TABLE mine (id INT)", "CREATE TRIGGER of_mine BEFORE INSERT ON mine FOR EACH ROW SET NEW.id = 1", "CREATE VIEW my_view AS SELECT * FROM mine", "CREATE TABLE parent (id INT)")
	if err := p.Restore(ctx, b, bytes.NewReader(zipped(t, dump.Bytes()))); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Inventory(ctx, b); err != nil || !maps.Equal(got, inventory) {
		t.Errorf("after the restore it holds %v, %v, want %v", got, err, inventory)
	}
	for _, q := range hardQueries() {
		if got, want := asked(t, to, q), asked(t, from, q); got != want || want == "" {
			t.Errorf("%s:\n%s\nwant\n%s", q, got, want)
		}
	}
	if got := asked(t, to, "SELECT NEXTVAL(numbers)"); got == "" || got < "101" {
		t.Errorf("the sequence goes on with %q", got)
	}
	// All of it belongs to the addon's user, and works.
	run(t, to, "CALL add_parent('new')", "INSERT INTO a_child VALUES (7, 5000)", "DROP VIEW of_next")
	if got := asked(t, to, "SELECT name FROM parent WHERE id = 5000"); got != "NEW!; -- " {
		t.Errorf("the triggers make %q", got)
	}
	if got := asked(t, to, "SELECT DISTINCT SUBSTRING_INDEX(definer, '@', 1) FROM (SELECT definer FROM information_schema.triggers UNION SELECT definer FROM information_schema.views WHERE table_schema = DATABASE() UNION SELECT definer FROM information_schema.routines UNION SELECT definer FROM information_schema.events) x"); got != to["MYSQL_USER"] {
		t.Errorf("what was restored belongs to %q", got)
	}
	if err := execMySQL(ctx, to, "INSERT INTO a_child VALUES (8, 12345)"); err == nil {
		t.Error("the foreign key is gone")
	}
	mysqlFailedRestores(t, p, b, dump.Bytes())
	mysqlHostileDumps(t, p, b, from)
	mysqlLostConnections(t, p, b, settings, dump.Bytes())
}

// mysqlFailedRestores restores what ends in an error, at different places.
func mysqlFailedRestores(t *testing.T, p *addons.MySQL, a hop3.Addon, dump []byte) {
	env := p.Variables(a)
	before := mysqlState(t, p, a)
	for what, text := range map[string]string{
		"an error at its end":          string(dump) + "\nINSERT INTO nowhere VALUES (1);\n",
		"an error in the middle":       strings.Replace(string(dump), "CREATE TABLE `parent`", "CREATE TABLE `parent", 1),
		"a view of nothing":            "CREATE TABLE x (id INT);\nCREATE VIEW v AS SELECT * FROM nowhere;\n",
		"another database":             "CREATE DATABASE other;\nUSE other;\nCREATE TABLE x (id INT);\n",
		"a routine that does not work": "DELIMITER ;;\nCREATE PROCEDURE p() BEGIN SELECT * FROM; END;;\n",
		"two statements as one":        "DELIMITER ;;\nCREATE TABLE x (id INT); DROP TABLE x;;\n",
	} {
		if err := p.Restore(t.Context(), a, strings.NewReader(text)); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s: %v (%s)", what, err, hop3.CodeOf(err))
		}
	}
	if after := mysqlState(t, p, a); after != before {
		t.Errorf("restores that failed have left\n%s\nof\n%s", after, before)
	}
	run(t, env, "INSERT INTO parent (name) VALUES ('still works')")
}

// mysqlState is all that an addon has, but for rows.
func mysqlState(t *testing.T, p *addons.MySQL, a hop3.Addon) string {
	t.Helper()
	i, err := p.Inventory(t.Context(), a)
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprint(i, asked(t, p.Variables(a), "SELECT trigger_name, action_order, definer FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY trigger_name"),
		asked(t, p.Variables(a), "SHOW DATABASES"))
}

// mysqlHostileDumps restores dumps by somebody who means harm.
func mysqlHostileDumps(t *testing.T, p *addons.MySQL, a hop3.Addon, other hop3.Env) {
	before, theirs := mysqlState(t, p, a), asked(t, other, "SELECT * FROM parent")
	for _, text := range []string{
		"\\! touch /tmp/hop3-owned\n;", "system touch /tmp/hop3-owned;\n", "source /etc/passwd;\n", "\\. /etc/passwd\n", "tee /tmp/hop3-owned\n;", "pager id;\n",
		"SET PASSWORD = PASSWORD('known');\n", "ALTER USER CURRENT_USER() IDENTIFIED BY 'known';\n", "GRANT ALL ON *.* TO CURRENT_USER();\n", "CREATE USER led;\n", "DROP DATABASE " + other["MYSQL_DATABASE"] + ";\n",
		"/*!50003 DROP DATABASE " + other["MYSQL_DATABASE"] + " */;\n", "DROP TABLE " + other["MYSQL_DATABASE"] + ".parent;\n", "INSERT INTO " + other["MYSQL_DATABASE"] + ".parent VALUES (9, 'led');\n",
		"DROP TABLE " + p.Variables(a)["MYSQL_DATABASE"] + ".parent;\n", "LOAD DATA INFILE '/etc/passwd' INTO TABLE x;\n", "CREATE TABLE x (t TEXT);\nLOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE x;\n",
		"SELECT * FROM mysql.user INTO OUTFILE '/tmp/hop3-owned';\n", "CREATE TABLE x AS SELECT * FROM mysql.user;\n", "SET GLOBAL general_log = 1;\n", "CREATE DEFINER=`root`@`localhost` VIEW v AS SELECT * FROM mysql.user;\n",
		"KILL 1;\n", "SHUTDOWN;\n", "CALL p();\n", "INSTALL SONAME 'x';\n", "PREPARE s FROM 'DROP DATABASE x';\n", "HANDLER x OPEN;\n", "CREATE FUNCTION f RETURNS STRING SONAME 'udf.so';\n", "CREATE TABLE x (id INT) DATA DIRECTORY='/tmp';\nSELECT 1;\n",
	} {
		if err := p.Restore(t.Context(), a, strings.NewReader(text)); err == nil {
			t.Errorf("a dump with %q is restored", text)
		}
	}
	if after := mysqlState(t, p, a); after != before {
		t.Errorf("hostile dumps have left\n%s\nof\n%s", after, before)
	}
	if got := asked(t, other, "SELECT * FROM parent"); got != theirs {
		t.Errorf("a hostile dump changed another addon: %q, had %q", got, theirs)
	}
}

// mysqlLostConnections cuts all connections of a restore after ever more bytes.
func mysqlLostConnections(t *testing.T, p *addons.MySQL, a hop3.Addon, settings map[string]string, dump []byte) {
	before := mysqlState(t, p, a)
	for _, after := range []int64{200, 5_000, int64(len(dump)) / 2} {
		port := cuttingProxy(t, a.Details["port"], after)
		through := new(addons.MySQL)
		if err := through.Open(hop3test.AddonServer{Settings: withSettings(settings, "MYSQL_PORT", port)}); err != nil {
			t.Fatal(err)
		}
		there := a
		there.Details = maps.Clone(a.Details)
		there.Details["port"] = port
		if err := through.Restore(t.Context(), there, bytes.NewReader(dump)); err == nil {
			t.Errorf("a restore whose connections are lost after %d bytes is no error", after)
		}
	}
	if got := mysqlState(t, p, a); got != before {
		t.Errorf("lost connections have left\n%s\nof\n%s", got, before)
	}
}

// TestMySQL_Dedicated has a service for one addon, kills it, and destroys it.
func TestMySQL_Dedicated(t *testing.T) {
	t.Parallel()
	needMariaDB(t)
	p, make := newMySQL(t, servicestest.Server(t, nil))
	a := make(hop3.Addon{Name: "Alone_1", Dedicated: true})
	env, client := p.Variables(a), mysqlSuite()
	if !strings.HasPrefix(a.Details["service"], "mysql-alone-1-") {
		t.Errorf("its service is %s", a.Details["service"])
	}
	if err := client.Write(t.Context(), env, "key", "value"); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(servicePid(t, "--port="+env["MYSQL_PORT"]))
	if err != nil {
		t.Fatal(err)
	}
	killProgram(t, pid)
	waitUntil(t, func(ctx context.Context) error {
		got, err := client.Read(ctx, env, "key")
		if err == nil && got != "value" {
			err = fmt.Errorf("it has %q", got)
		}
		return err
	})
	if _, err := p.Status(t.Context(), a); err != nil {
		t.Error(err)
	}
	if err := p.Destroy(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Status(t.Context(), a); err == nil {
		t.Error("what is destroyed has a status")
	}
	if _, err := p.Plan(t.Context(), hop3.Addon{Type: "mysql", Name: "a`b"}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a name that is none: %v", err)
	}
	if _, err := p.Plan(t.Context(), hop3.Addon{Type: "mysql", Name: "ab", Dedicated: true}); err != nil {
		t.Errorf("a short name: %v", err)
	}
}
