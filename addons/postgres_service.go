package addons

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/abilian/hop3/hop3"
)

// Rest implements hop3.AddonSharer.
func (p *Postgres) Rest(ctx context.Context, addons []hop3.Addon) error {
	return rest(ctx, p.server, pgShared, addons)
}

// service returns the superuser's address of one of Hop3's own, which it
// starts, and makes on a port when wanted (0 for any that is free). It does not
// wait until it answers.
func (p *Postgres) service(ctx context.Context, name string, port int, make bool) (pgAddress, error) {
	services := p.server.Services()
	if services == nil {
		return pgAddress{}, pgNoServices()
	}
	select {
	case p.making <- struct{}{}:
		defer func() { <-p.making }()
	case <-ctx.Done():
		return pgAddress{}, context.Cause(ctx)
	}
	if err := ctx.Err(); err != nil {
		return pgAddress{}, err
	}
	dir, err := services.Prepare(ctx, name)
	if err != nil {
		return pgAddress{}, err
	}
	if dir.User == "" && os.Geteuid() == 0 {
		return pgAddress{}, hop3.Errorf(hop3.CodeUnavailable, "PostgreSQL does not run as root, and this server gives its services no users of their own").
			WithHint("Switch isolation on, or set POSTGRES_HOST to a server that runs elsewhere.")
	}
	data, err := os.OpenRoot(dir.Data)
	if err != nil {
		return pgAddress{}, fmt.Errorf("opening the data of the service %s: %w", name, err)
	}
	defer data.Close()
	_, err = data.Stat(filepath.Join(pgClusterDir, pgVersionFile))
	if errors.Is(err, fs.ErrNotExist) && !make {
		return pgAddress{}, errPgNoService
	} else if errors.Is(err, fs.ErrNotExist) {
		err = p.initialize(ctx, data, dir, name, port)
	}
	if err != nil {
		return pgAddress{}, err
	}
	return p.start(ctx, data, dir, name)
}

// initialize makes the data of a service. Until all of it is there it has
// another name.
func (p *Postgres) initialize(ctx context.Context, data *os.Root, dir hop3.ServiceDir, name string, port int) (err error) {
	programs, err := pgPrograms("", "postgres", "initdb")
	if err != nil {
		return err
	}
	if port == 0 {
		if port, err = p.server.Services().FreePort(); err != nil {
			return err
		}
	}
	err = errors.Join(data.RemoveAll(pgNewDir), pgWrite(data, pgSuperuserFile, password()), pgWrite(data, pgPortFile, strconv.Itoa(port)), pgWrite(data, pgHBAFile, pgHBA(dir)))
	if err != nil {
		return fmt.Errorf("making the service %s: %w", name, err)
	}
	err = p.server.Services().Run(ctx, name, nil, programs["initdb"], "--pgdata="+filepath.Join(dir.Data, pgNewDir), "--username=postgres",
		"--pwfile="+filepath.Join(dir.Data, pgSuperuserFile), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions")
	if err != nil {
		return err
	}
	if err := data.Rename(pgNewDir, pgClusterDir); err != nil {
		return fmt.Errorf("making the service %s: %w", name, err)
	}
	return pgSync(data)
}

// start starts a service, or leaves it running.
func (p *Postgres) start(ctx context.Context, data *os.Root, dir hop3.ServiceDir, name string) (pgAddress, error) {
	version, err := pgRead(data, filepath.Join(pgClusterDir, pgVersionFile))
	if err != nil {
		return pgAddress{}, err
	}
	secret, err := pgRead(data, pgSuperuserFile)
	if err != nil {
		return pgAddress{}, err
	}
	text, err := pgRead(data, pgPortFile)
	if err != nil {
		return pgAddress{}, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return pgAddress{}, fmt.Errorf("the port of the service %s is %.20q", name, text)
	}
	programs, err := pgPrograms(version, "postgres")
	if err != nil {
		return pgAddress{}, err
	}
	a := pgAddress{host: pgLoopback, port: port, user: "postgres", password: secret, own: true, log: dir.Log}
	args := []string{programs["postgres"], "-D", filepath.Join(dir.Data, pgClusterDir)}
	settings := []string{
		"hba_file=" + filepath.Join(dir.Data, pgHBAFile), "listen_addresses=" + pgLoopback, "port=" + text, "unix_socket_directories=", "password_encryption=scram-sha-256",
		"dynamic_shared_memory_type=sysv", // /dev/shm is small where services are isolated
		"max_connections=200", "log_line_prefix=%m [%p] %u@%d ",
	}
	if pgBySocket(dir) {
		a.host = dir.Data
		settings[3] += `"` + strings.ReplaceAll(dir.Data, `"`, `""`) + `"`
	}
	if name != pgShared {
		settings = append(settings, "shared_buffers=32MB")
	}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return a, p.server.Services().Start(ctx, hop3.Service{Name: name, Args: args})
}

// pgBySocket says that the superuser logs in by a socket, which nobody but the
// server gets to, and not by a port, which may be exposed.
func pgBySocket(dir hop3.ServiceDir) bool { return len(dir.Data) <= pgSocketLength }

// pgHBA says who may connect from where to what: the superuser to all, others not
// to what is not an addon's.
func pgHBA(dir hop3.ServiceDir) string {
	method := "scram-sha-256"
	if pgBySocket(dir) {
		method = "reject"
	}
	return `local all postgres scram-sha-256
host all postgres 127.0.0.1/32 ` + method + `
local postgres,template1 all reject
host postgres,template1 all all reject
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256`
}

// pgWrite writes a file of the service's, for its user's eyes only.
func pgWrite(data *os.Root, name, text string) error {
	owner, err := data.Stat(".")
	if err != nil {
		return err
	}
	if err := data.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := data.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if st, ok := owner.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		err = f.Chown(int(st.Uid), int(st.Gid))
	}
	if err == nil {
		_, err = f.WriteString(text + "\n")
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func pgRead(data *os.Root, name string) (string, error) {
	text, err := data.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("reading what is known of a PostgreSQL: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func pgSync(data *os.Root) error {
	d, err := data.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
