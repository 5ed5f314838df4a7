package addons

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// mysqlAdminUser may do all on a server of Hop3's own.
const mysqlAdminUser = "hop3"

// The files of a server of Hop3's own, beside its log.
const (
	mysqlStateFile = "hop3.json"
	mysqlInitFile  = "init.sql"
	mysqlDataDir   = "db"
	mysqlNewDir    = "db.new"
)

// mysqlState is what Hop3 knows of a server of its own.
type mysqlState struct {
	Port     string `json:"port"`
	Password string `json:"password"` // of mysqlAdminUser
}

// ownState is what is known of the service of an addon, from its details where
// it is the only one there.
func (m *MySQL) ownState(a hop3.Addon) (mysqlState, error) {
	s, err := services(m.server, "MySQL", "MYSQL_HOST")
	if err != nil {
		return mysqlState{}, err
	}
	if p := a.Details[mysqlAdminPassword]; p != "" {
		return mysqlState{Port: a.Details[detailPort], Password: p}, nil
	}
	dir, err := s.Prepare(context.Background(), a.Details[detailService])
	if err != nil {
		return mysqlState{}, err
	}
	files, err := openServiceFiles(dir)
	if err != nil {
		return mysqlState{}, err
	}
	defer files.close()
	state, err := readMySQLState(files)
	if err == nil && state.Port == "" {
		err = hop3.Errorf(hop3.CodeUnavailable, "the service %s was not made yet, or is gone", a.Details[detailService]).
			WithHint("It is made with the next addon of the type mysql.")
	}
	return state, err
}

func readMySQLState(files *serviceFiles) (state mysqlState, err error) {
	text, err := files.read(mysqlStateFile)
	if err == nil && text != nil {
		err = json.Unmarshal(text, &state)
	}
	return state, err
}

// Rest implements hop3.AddonSharer.
func (m *MySQL) Rest(ctx context.Context, addons []hop3.Addon) error {
	return rest(ctx, m.server, mysqlShared, addons)
}

// runOwn makes the service of an addon unless it is made, starts it unless it
// runs, and waits until it answers.
func (m *MySQL) runOwn(ctx context.Context, a hop3.Addon) (mysqlState, error) {
	s, err := services(m.server, "MySQL", "MYSQL_HOST")
	if err != nil {
		return mysqlState{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	program, install, err := mariadbPrograms()
	if err != nil {
		return mysqlState{}, err
	}
	service := a.Details[detailService]
	dir, err := s.Prepare(ctx, service)
	if err != nil {
		return mysqlState{}, err
	}
	files, err := openServiceFiles(dir)
	if err != nil {
		return mysqlState{}, err
	}
	defer files.close()
	state := mysqlState{Port: a.Details[detailPort], Password: a.Details[mysqlAdminPassword]}
	if state.Password == "" {
		state, err = m.sharedState(s, files)
	}
	if err == nil {
		err = m.install(ctx, s, service, dir, files, install)
	}
	if err == nil {
		err = files.write(mysqlInitFile, []byte(mysqlInit(state)))
	}
	if err == nil {
		err = s.Start(ctx, hop3.Service{Name: service, Args: mysqlArgs(program, dir, state)})
	}
	if err != nil {
		return state, err
	}
	err = until(ctx, 2*time.Minute, func(ctx context.Context) error {
		c, err := m.admin(ctx, a)
		if err == nil {
			c.close()
		}
		return err
	}, func(err error) bool { return !strings.Contains(err.Error(), "refuses the password") })
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return state, err
}

// sharedState is what is known of the service that addons share, or will be.
func (m *MySQL) sharedState(s hop3.Services, files *serviceFiles) (mysqlState, error) {
	state, err := readMySQLState(files)
	if err != nil || state.Port != "" {
		return state, err
	}
	state.Password = password()
	if state.Port, err = m.planned.freePort(s); err != nil {
		return state, err
	}
	text, err := json.Marshal(state)
	if err != nil {
		return state, err
	}
	return state, files.write(mysqlStateFile, text)
}

// install makes the directory of the data, all of it or nothing.
func (m *MySQL) install(ctx context.Context, s hop3.Services, service string, dir hop3.ServiceDir, files *serviceFiles, program string) error {
	if _, err := files.root.Lstat(mysqlDataDir); err == nil {
		return nil
	}
	if err := files.root.RemoveAll(mysqlNewDir); err != nil {
		return err
	}
	err := s.Run(ctx, service, nil, program, "--no-defaults", "--datadir="+filepath.Join(dir.Data, mysqlNewDir),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--innodb-flush-method=fsync")
	if err != nil {
		return err
	}
	return files.root.Rename(mysqlNewDir, mysqlDataDir)
}

// mysqlInit is run by the server each time before it listens. It has one user
// who may do all, whose password is in this directory alone.
func mysqlInit(s mysqlState) string {
	var text strings.Builder
	for _, host := range []string{"localhost", "127.0.0.1"} {
		who := "'" + mysqlAdminUser + "'@'" + host + "'"
		fmt.Fprintf(&text, "CREATE USER IF NOT EXISTS %s;\n", who)
		fmt.Fprintf(&text, "ALTER USER %s IDENTIFIED BY PASSWORD '%s' ACCOUNT UNLOCK;\n", who, nativeHash(s.Password))
		fmt.Fprintf(&text, "GRANT ALL PRIVILEGES ON *.* TO %s WITH GRANT OPTION;\n", who)
	}
	text.WriteString("DELETE FROM mysql.global_priv WHERE user IN ('', 'root', 'mysql');\nFLUSH PRIVILEGES;\n")
	return text.String()
}

func mysqlArgs(program string, dir hop3.ServiceDir, s mysqlState) []string {
	args := []string{
		program, "--no-defaults",
		"--datadir=" + filepath.Join(dir.Data, mysqlDataDir),
		"--init-file=" + filepath.Join(dir.Data, mysqlInitFile),
		"--port=" + s.Port, "--bind-address=127.0.0.1", "--skip-name-resolve",
		"--socket=mysql.sock", "--pid-file=mysql.pid", // in the directory of the data
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci",
		"--max-allowed-packet=64M", "--event-scheduler=ON", "--skip-log-bin", "--skip-symbolic-links",
	}
	if dir.User == "" && os.Geteuid() == 0 {
		args = append(args, "--user=root") // without which it refuses to run as root
	}
	return args
}

// mariadbPrograms finds the server that is installed, and what makes its first
// data.
func mariadbPrograms() (server, install string, err error) {
	server, install = program("mariadbd", "mysqld"), program("mariadb-install-db", "mysql_install_db")
	if server == "" || install == "" {
		return "", "", hop3.Errorf(hop3.CodeUnavailable, "MariaDB is not installed on this server").
			WithHint("The admin runs: apt install mariadb-server. Or sets MYSQL_HOST to the address of a server of MySQL or MariaDB.")
	}
	return server, install, nil
}
