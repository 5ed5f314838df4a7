package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/store"
)

func TestPostgreSQL(t *testing.T) {
	server := startPostgres(t)
	t.Run("suite", func(t *testing.T) {
		hop3test.Store(t, func(t *testing.T) func() hop3test.Database {
			db := server.create(t)
			return func() hop3test.Database { return open(t, db, "", store.WithSecret(secret)) }
		})
	})
	t.Run("opened by many at once", func(t *testing.T) { openedByMany(t, server.create(t), "") })
	t.Run("inspected and copied", func(t *testing.T) { copiesPostgreSQL(t, server) })
	t.Run("made by a newer Hop3", func(t *testing.T) { madeByNewer(t, server.create(t), "", "pgx") })
}

// postgresServer is a PostgreSQL server of its own, on a unix socket.
type postgresServer struct {
	bin, dir string
	as       *syscall.Credential // PostgreSQL refuses to run as root
	made     int
}

// startPostgres starts a server that ends with the test.
func startPostgres(t *testing.T) *postgresServer {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("PostgreSQL is not installed; tests/run installs it")
		}
		t.Skip("NOT TESTED: PostgreSQL is not installed (Debian: apt-get install postgresql)")
	}
	// Not t.TempDir, whose parent only its owner may enter, and whose path may
	// be too long for a socket.
	dir, err := os.MkdirTemp("", "hop3-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &postgresServer{bin: filepath.Dir(slices.Max(bins)), dir: dir}
	if os.Geteuid() == 0 {
		s.as = credential(t)
		if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	initdb := s.command("initdb", "--no-sync", "--auth=trust", "--username=hop3", "--encoding=UTF8", "--pgdata", s.data())
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.run(t)
	return s
}

func credential(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("PostgreSQL has no user to run as; tests/run installs it: %v", err)
		}
		t.Skipf("NOT TESTED: PostgreSQL cannot run as root: %v", err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *postgresServer) data() string { return filepath.Join(s.dir, "data") }

func (s *postgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// run starts the server, waits until it answers, and ends it with the test.
func (s *postgresServer) run(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	cmd := s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-F")
	cmd.Stdout, cmd.Stderr = &log, &log
	// Should the test be killed, the server ends too. The kernel ties that to
	// the thread, which must therefore last.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // ends sessions, then itself
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
			t.Error("PostgreSQL did not end")
		}
		if t.Failed() {
			t.Logf("PostgreSQL's log:\n%s", log.String())
		}
	})
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := pgx.Connect(t.Context(), s.url("postgres"))
		if err == nil {
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not answer: %v", err)
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("PostgreSQL ended: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *postgresServer) url(database string) string {
	return "postgresql://hop3@/" + database + "?host=" + url.QueryEscape(s.dir)
}

// create makes an empty database and returns its URL.
func (s *postgresServer) create(t *testing.T) string {
	t.Helper()
	s.made++
	name := fmt.Sprintf("test%d", s.made)
	conn, err := pgx.Connect(t.Context(), s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}
