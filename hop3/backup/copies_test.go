package backup_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
)

// files is a server for SFTP in this process, that serves a directory and can
// end its connections.
type files struct {
	address string
	hostKey string
	// limit ends a connection once so many bytes came by it; 0 for never.
	limit    atomic.Int64
	received atomic.Int64
}

func newFiles(t *testing.T) *files {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	config := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if string(password) != "right" {
			return nil, errors.New("wrong")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &files{address: l.Addr().String(), hostKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { f.serve(&limited{conn, f, 0}, config) })
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		all.Wait()
	})
	return f
}

// limited is a connection that ends after what the server allows.
type limited struct {
	net.Conn
	f *files
	n int64
}

func (c *limited) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n += int64(n)
	c.f.received.Add(int64(n))
	if limit := c.f.limit.Load(); limit > 0 && c.n > limit {
		return 0, errors.Join(io.ErrUnexpectedEOF, c.Close())
	}
	return n, err
}

func (f *files) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { ssh.DiscardRequests(requests) })
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		all.Go(func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem" && string(r.Payload[4:]) == "sftp", nil)
			}
		})
		all.Go(func() {
			defer channel.Close()
			if server, err := sftp.NewServer(channel); err == nil {
				_ = server.Serve() // it ends with the connection
			}
		})
	}
}

// store is a store whose copies go to the server.
func (f *files) store(t *testing.T, dir, home string, o backup.SFTPOptions) *backup.Store {
	t.Helper()
	if o.HostKey == "" {
		o.HostKey = f.hostKey
	}
	if o.Password == "" && o.Key == "" {
		o.Password = "right"
	}
	target, err := backup.ParseTarget("sftp://hop3@"+f.address+dir, backup.S3Options{}, o)
	must(t, err)
	return open(t, backup.Options{Dir: home, Target: target})
}

// noise makes a directory that does not get smaller.
func noise(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	content := make([]byte, size)
	_, _ = rand.Read(content)
	write(t, 0o640, string(content), dir, "noise")
	return dir
}

func TestCopiesBySFTP(t *testing.T) {
	server, there, home := newFiles(t), filepath.Join(t.TempDir(), "backups"), t.TempDir()
	s := server.store(t, there, home, backup.SFTPOptions{})
	b := hop3.Backup{ID: id, App: "blog"}
	dir, m := made(t, s, noise(t, 3<<20))
	url, err := s.Upload(t.Context(), b, nil)
	must(t, err)
	if want := "sftp://hop3@" + server.address + there + "/apps/blog/" + id; url != want {
		t.Errorf("it is at %s, want %s", url, want)
	}
	sent := server.received.Load()
	if _, err := s.Upload(t.Context(), b, nil); err != nil || server.received.Load()-sent > 100<<10 {
		t.Errorf("what is there was sent again: %d bytes, %v", server.received.Load()-sent, err)
	}
	must(t, os.RemoveAll(dir))
	fetched, err := s.Fetch(t.Context(), b, nil)
	must(t, err)
	r, err := s.Open(fetched)
	must(t, err)
	must(t, r.Check(t.Context()))
	if len(r.Metadata().Checksums) != len(m.Checksums) {
		t.Errorf("it has %v", r.Metadata().Checksums)
	}
	must(t, s.RemoveRemote(t.Context(), b))
	must(t, s.RemoveRemote(t.Context(), b))
	if _, err := os.Stat(filepath.Join(there, "apps", "blog", id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	must(t, s.Remove(b))
	if _, err := s.Fetch(t.Context(), b, nil); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("what is gone is fetched: %v", err)
	}
}

// A connection that ends in the middle costs what was under way, also for
// another server; what came of it is not believed.
func TestACopyIsResumed(t *testing.T) {
	server, there, home := newFiles(t), filepath.Join(t.TempDir(), "backups"), t.TempDir()
	const size = 8 << 20
	b := hop3.Backup{ID: id, App: "blog"}
	made(t, server.store(t, there, home, backup.SFTPOptions{}), noise(t, size))
	server.limit.Store(size * 3 / 4)
	if _, err := server.store(t, there, home, backup.SFTPOptions{}).Upload(t.Context(), b, nil); err == nil {
		t.Fatal("a broken connection copies it")
	}
	if _, err := os.Stat(filepath.Join(there, "apps", "blog", id, "metadata.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it looks complete: %v", err)
	}
	server.limit.Store(0)
	before := server.received.Load()
	_, err := server.store(t, there, home, backup.SFTPOptions{}).Upload(t.Context(), b, nil)
	must(t, err)
	if again := server.received.Load() - before; again > size/2 {
		t.Errorf("%d of %d bytes were sent again", again, size)
	}
}

func TestADamagedCopyIsSentAgain(t *testing.T) {
	server, there, home := newFiles(t), filepath.Join(t.TempDir(), "backups"), t.TempDir()
	s := server.store(t, there, home, backup.SFTPOptions{})
	b := hop3.Backup{ID: id, App: "blog"}
	made(t, s, noise(t, 1<<20))
	// What a part of an earlier attempt has is not what it should be.
	file := filepath.Join(there, "apps", "blog", id, "data.tar.gz")
	write(t, 0o600, "spoilt", file+".part")
	if _, err := s.Upload(t.Context(), b, nil); err == nil || !strings.Contains(err.Error(), "checksum differs") {
		t.Errorf("a copy that is not what was sent: %v", err)
	}
	_, err := s.Upload(t.Context(), b, nil)
	must(t, err)
	whole, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, whole[:len(whole)-1], 0o600))
	must(t, s.Remove(b))
	if _, err := s.Fetch(t.Context(), b, nil); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a damaged copy is fetched: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "apps", "blog", "*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestWrongKeysOfATarget(t *testing.T) {
	server, other := newFiles(t), newFiles(t)
	there, home := filepath.Join(t.TempDir(), "backups"), t.TempDir()
	b := hop3.Backup{ID: id, App: "blog"}
	made(t, open(t, backup.Options{Dir: home}), noise(t, 1000))
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	key := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(key, pem.EncodeToMemory(block), 0o600))
	for name, tt := range map[string]struct {
		o    backup.SFTPOptions
		says string
	}{
		"a password":     {backup.SFTPOptions{Password: "wrong-secret"}, "refuses the server's key or password"},
		"a key":          {backup.SFTPOptions{Key: key}, "refuses the server's key or password"},
		"another server": {backup.SFTPOptions{HostKey: other.hostKey}, "has another key than BACKUP_SFTP_HOST_KEY"},
	} {
		_, err := server.store(t, there, home, tt.o).Upload(t.Context(), b, nil)
		if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was sent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := server.store(t, there, home, backup.SFTPOptions{}).Upload(ctx, b, nil); err == nil {
		t.Error("an ended context copies it")
	}
}

func TestTargets(t *testing.T) {
	s3 := backup.S3Options{AccessKey: "a", SecretKey: "b"}
	key := newFiles(t).hostKey
	for text, want := range map[string]string{
		"s3://bucket/a/b/":            "s3://bucket/a/b",
		"s3://bucket":                 "s3://bucket",
		"sftp://ada@example.org/srv":  "sftp://ada@example.org:22/srv",
		"sftp://ada@example.org:7/":   "sftp://ada@example.org:7",
		"ftp://example.org/x":         "error",
		"/srv/backups":                "error",
		"sftp://example.org/x":        "error",
		"sftp://ada:pw@example.org/x": "error",
	} {
		target, err := backup.ParseTarget(text, s3, backup.SFTPOptions{HostKey: "example.org " + key, Password: "x"})
		got := "error"
		if err == nil {
			got = target.URL()
		} else if hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s: %v", text, err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s (%v)", text, got, want, err)
		}
	}
	if target, err := backup.ParseTarget("", s3, backup.SFTPOptions{}); target != nil || err != nil {
		t.Errorf("nothing is %v, %v", target, err)
	}
	if _, err := backup.ParseTarget("s3://bucket", backup.S3Options{}, backup.SFTPOptions{}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("without keys: %v", err)
	}
	if _, err := backup.ParseTarget("sftp://ada@example.org/x", s3, backup.SFTPOptions{Password: "x"}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("without a host key: %v", err)
	}
}

// TestPython reads a backup that was written as Hop3 (Python) writes it, by
// Python's own tarfile and json: see testdata/python/make.py.
func TestPython(t *testing.T) {
	s := open(t, backup.Options{Dir: t.TempDir()})
	from := filepath.Join("testdata", "python", "20250614_081502_3fa9c1")
	m, dir, err := s.Adopt(t.Context(), from)
	must(t, err)
	if m.App != "blog" || m.EnvCount != 2 || len(m.Volumes) != 1 || len(m.Addons) != 1 || m.Own().Trees != nil {
		t.Errorf("the metadata are %+v", m)
	}
	r, err := s.Open(dir)
	must(t, err)
	to := t.TempDir()
	place := func(top string) string {
		at := filepath.Join(to, top)
		must(t, os.MkdirAll(at, 0o755))
		return at
	}
	for _, name := range []string{"source.tar.gz", "data.tar.gz", "volume-uploads.tar.gz", "extra.tar.gz"} {
		must(t, r.Extract(t.Context(), name, place))
	}
	for name, want := range map[string]string{"src/Procfile": "web: python app.py\n", "git/HEAD": "ref: refs/heads/main\n", "data/db.sqlite3": "rows", "uploads/a.txt": "upload", "log/web.1.log": "line\n", "git/hard": "ref: refs/heads/main\n"} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	must(t, r.Read(t.Context(), "addons/postgres_blog-db.sql", func(in io.Reader) error {
		text, err := io.ReadAll(in)
		if !bytes.Contains(text, []byte("CREATE TABLE")) {
			t.Errorf("the dump is %q", text)
		}
		return err
	}))
	if _, _, err := s.Adopt(t.Context(), from); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a second time: %v", err)
	}
}
