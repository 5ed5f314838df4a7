package addons_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// withMySQL connects as apps do.
func withMySQL(env hop3.Env, use func(*sql.DB) error) error {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName = "tcp", env["MYSQL_HOST"]+":"+env["MYSQL_PORT"], env["MYSQL_DATABASE"]
	c.User, c.Passwd, c.InterpolateParams, c.Logger = env["MYSQL_USER"], env["MYSQL_PASSWORD"], true, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	return errors.Join(use(db), db.Close())
}

func execMySQL(ctx context.Context, env hop3.Env, statement string, args ...any) error {
	return withMySQL(env, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement, args...)
		return err
	})
}

// mysqlSchema has something of all that a database can have, each using the
// others.
var mysqlSchema = []string{
	"CREATE TABLE kept (k VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, v LONGTEXT)",
	"CREATE TABLE changes (n INT AUTO_INCREMENT PRIMARY KEY, k VARCHAR(190) COLLATE utf8mb4_bin NOT NULL, FOREIGN KEY (k) REFERENCES kept (k) ON DELETE CASCADE)",
	"CREATE TRIGGER kept_changes AFTER INSERT ON kept FOR EACH ROW BEGIN INSERT INTO changes (k) VALUES (NEW.k); END",
	"CREATE VIEW `the; view` AS SELECT k, v FROM kept",
	"CREATE FUNCTION value_of(x TEXT) RETURNS LONGTEXT READS SQL DATA BEGIN DECLARE r LONGTEXT; SELECT v INTO r FROM `the; view` WHERE k = x; RETURN r; END",
	"CREATE EVENT forget ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01' DO BEGIN DELETE FROM changes; DELETE FROM kept; END",
}

func mysqlSuite() hop3test.AddonClient {
	return hop3test.AddonClient{
		Variables: []string{"DATABASE_URL", "MYSQL_DATABASE", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_HOST", "MYSQL_PORT"},
		Write: func(ctx context.Context, env hop3.Env, key, value string) error {
			return withMySQL(env, func(db *sql.DB) error {
				keep := func() error {
					_, err := db.ExecContext(ctx, "INSERT INTO kept VALUES (?, ?) ON DUPLICATE KEY UPDATE v = VALUES(v)", key, value)
					return err
				}
				err := keep()
				var e *mysql.MySQLError
				if !errors.As(err, &e) || e.Number != 1146 { // there is no such table
					return err
				}
				for _, s := range mysqlSchema {
					if _, err := db.ExecContext(ctx, s); err != nil {
						return fmt.Errorf("%s: %w", s, err)
					}
				}
				return keep()
			})
		},
		Read: func(ctx context.Context, env hop3.Env, key string) (string, error) {
			var value sql.NullString
			err := withMySQL(env, func(db *sql.DB) error {
				err := db.QueryRowContext(ctx, "SELECT value_of(?)", key).Scan(&value)
				var e *mysql.MySQLError
				if errors.As(err, &e) && e.Number == 1305 { // there is no such function: nothing was written
					return nil
				}
				return err
			})
			return value.String, err
		},
		Alter: func(ctx context.Context, env hop3.Env) error {
			return errors.Join(
				execMySQL(ctx, env, "ALTER TABLE kept ADD COLUMN extra INT"),
				execMySQL(ctx, env, "ALTER TABLE kept DROP COLUMN extra"),
				execMySQL(ctx, env, "CREATE OR REPLACE VIEW `the; view` AS SELECT k, v FROM kept"),
				execMySQL(ctx, env, "ALTER FUNCTION value_of COMMENT 'altered'"),
			)
		},
		Trespass: func(ctx context.Context, env, other hop3.Env, key string) error {
			theirs := "`" + other["MYSQL_DATABASE"] + "`"
			for _, s := range []string{
				"SELECT v FROM " + theirs + ".kept", "UPDATE " + theirs + ".kept SET v = 'mine'", "DROP DATABASE " + theirs, "DROP TABLE " + theirs + ".kept",
				"CREATE VIEW led AS SELECT * FROM " + theirs + ".kept", "GRANT ALL ON " + theirs + ".* TO CURRENT_USER()", "SELECT * FROM mysql.user", "CREATE DATABASE led",
				"SELECT LOAD_FILE('/etc/passwd') FROM " + theirs + ".kept", "SELECT 1 INTO OUTFILE '/tmp/led'", "SET GLOBAL general_log = 1", "CREATE USER led", "RENAME TABLE kept TO " + theirs + ".led",
				"USE " + theirs, "LOAD DATA INFILE '/etc/passwd' INTO TABLE kept", "INSTALL SONAME 'ha_connect'", "SHUTDOWN",
			} {
				if err := execMySQL(ctx, env, s); err == nil {
					return nil
				}
			}
			return errors.New("no way led there")
		},
	}
}

func TestMySQL_Own(t *testing.T) {
	t.Parallel()
	needMariaDB(t)
	client := mysqlSuite()
	client.Broken = map[string]hop3.AddonServer{"a server without services": hop3test.AddonServer{}}
	hop3test.Addon(t, new(addons.MySQL), servicestest.Server(t, nil), client)
}

func TestMySQL_Configured(t *testing.T) {
	t.Parallel()
	needMariaDB(t)
	settings := mysqlServer(t)
	client := mysqlSuite()
	client.Broken = map[string]hop3.AddonServer{
		"a wrong password":         hop3test.AddonServer{Settings: withSettings(settings, "MYSQL_SUPERUSER_PASSWORD", "wrong-password-of-the-admin")},
		"no password":              hop3test.AddonServer{Settings: withSettings(settings, "MYSQL_SUPERUSER_PASSWORD", gone)},
		"a port nobody listens on": hop3test.AddonServer{Settings: withSettings(settings, "MYSQL_PORT", "1")},
	}
	hop3test.Addon(t, new(addons.MySQL), hop3test.AddonServer{Settings: settings}, client)
}

func needMariaDB(t *testing.T) {
	t.Helper()
	needPrograms(t, "mariadb-server", "mariadbd", "mariadb-install-db", "mariadb-dump")
}

// mysqlServer runs a server as an admin has one, and returns the settings for
// it.
func mysqlServer(t *testing.T) map[string]string {
	t.Helper()
	dir, port := servicestest.Home(t), unusedPort(t)
	secret := `the admin's "password" of MySQL\#`
	data := filepath.Join(dir, "data")
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+data, "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	init := filepath.Join(dir, "init.sql")
	text := strings.ReplaceAll(`CREATE USER admin@localhost IDENTIFIED BY 'X';`+"\n"+`GRANT ALL ON *.* TO admin@localhost WITH GRANT OPTION;`+"\n", "X", strings.NewReplacer(`\`, `\\`, "'", "''").Replace(secret))
	if err := os.WriteFile(init, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startProgram(t, "mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--port="+port, "--bind-address=127.0.0.1", "--socket="+filepath.Join(dir, "s"), "--init-file="+init)
	waitForPort(t, port)
	return map[string]string{"MYSQL_HOST": "localhost", "MYSQL_PORT": port, "MYSQL_SUPERUSER": "admin", "MYSQL_SUPERUSER_PASSWORD": secret}
}
