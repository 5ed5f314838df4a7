package sshd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"
	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3/git"
)

func TestUnknownKeyIsRefused(t *testing.T) {
	s := startServer(t, git.Config{})
	stranger, _ := newKey(t)
	out, err := s.client(t.TempDir(), stranger, "ssh").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Permission denied (publickey)") {
		t.Errorf("err %v, output %s", err, out)
	}
	for name, auth := range map[string][]gossh.AuthMethod{
		"none":     nil,
		"password": {gossh.Password("x"), gossh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) { return nil, nil })},
	} {
		if client, err := s.dial(auth...); err == nil {
			client.Close()
			t.Errorf("let in with %s", name)
		}
	}
}

func (s *testServer) dial(auth ...gossh.AuthMethod) (*gossh.Client, error) {
	return gossh.Dial("tcp", s.addr, &gossh.ClientConfig{
		User: "mallory", Auth: auth, HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
	})
}

// unsigned offers a key it cannot sign with.
type unsigned struct{ gossh.Signer }

func (unsigned) Sign(io.Reader, []byte) (*gossh.Signature, error) {
	return nil, fmt.Errorf("no private key")
}

// misformed offers a key and then sends a signature of the wrong kind, for
// which a server does not hang up: the client may go on with another key.
type misformed struct{ gossh.Signer }

func (m misformed) Sign(io.Reader, []byte) (*gossh.Signature, error) {
	return &gossh.Signature{Format: gossh.KeyAlgoRSASHA256, Blob: []byte("x")}, nil
}

// badlySigned signs an offered key with another's private half.
type badlySigned struct{ offered, real gossh.Signer }

func (b badlySigned) PublicKey() gossh.PublicKey { return b.offered.PublicKey() }
func (b badlySigned) Sign(r io.Reader, data []byte) (*gossh.Signature, error) {
	return b.real.Sign(r, data)
}

// Who merely offers the administrator's key, which is no secret, does not
// become the administrator.
func TestIdentityComesFromTheVerifiedKey(t *testing.T) {
	s := startServer(t, git.Config{})
	_, admin := newKey(t)
	_, bob := newKey(t)
	s.users.add("admin", admin)
	s.users.add("bob", bob)
	for name, signers := range map[string][]gossh.Signer{
		"offered before":            {misformed{admin}, bob},
		"offered between two tries": {misformed{bob}, misformed{admin}, bob},
	} {
		client, err := s.dial(gossh.PublicKeys(signers...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.Output("")
		client.Close()
		if err != nil || !strings.HasPrefix(string(out), "Hi bob!") {
			t.Errorf("%s: %v, greeted with %q", name, err, out)
		}
	}
	for name, signer := range map[string]gossh.Signer{"unsigned": unsigned{admin}, "badly signed": badlySigned{admin, bob}} {
		if client, err := s.dial(gossh.PublicKeys(signer)); err == nil {
			client.Close()
			t.Errorf("let in with a key that is %s", name)
		}
	}
}

func TestRemovedKeyOpensNoMoreSessions(t *testing.T) {
	s := startServer(t, git.Config{})
	_, bob := newKey(t)
	s.users.add("bob", bob)
	client, err := s.dial(gossh.PublicKeys(bob))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s.users.mu.Lock()
	clear(s.users.byKey)
	s.users.mu.Unlock()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.CombinedOutput("git-upload-pack 'blog'")
	if err == nil || !strings.Contains(string(out), "this key is not known any more") {
		t.Errorf("err %v, output %s", err, out)
	}
}

func TestSessionsOtherThanGit(t *testing.T) {
	s := startServer(t, git.Config{})
	_, bob := newKey(t)
	s.users.add("bob", bob)
	client, err := s.dial(gossh.PublicKeys(bob))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session := func() *gossh.Session {
		t.Helper()
		sess, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		return sess
	}
	if err := session().RequestSubsystem("sftp"); err == nil {
		t.Error("sftp was granted")
	}
	if err := session().Setenv("LD_PRELOAD", "x"); err == nil {
		t.Error("a variable was taken")
	}
	if err := session().Setenv("GIT_PROTOCOL", "version=2"); err != nil {
		t.Error(err)
	}
	if ok, err := session().SendRequest("auth-agent-req@openssh.com", true, nil); ok || err != nil {
		t.Errorf("an agent was taken: %v, %v", ok, err)
	}
	if _, err := client.Dial("tcp", s.addr); err == nil {
		t.Error("a connection was forwarded")
	}
	if _, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("a port was forwarded")
	}
}

func TestManySignalsBlockNothing(t *testing.T) {
	s := startServer(t, git.Config{})
	_, bob := newKey(t)
	s.users.add("bob", bob)
	client, err := s.dial(gossh.PublicKeys(bob))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s.git(s.project(), "init", "-q")
	if err := s.repos.Ensure(context.Background(), "blog"); err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("git-receive-pack 'blog'"); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := session.Signal(gossh.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if err := session.WindowChange(10, 10); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprint(stdin, "0000") // nothing to push
	if err := session.Wait(); err != nil {
		t.Errorf("the push of nothing ended with %v", err)
	}
}

func TestHostileExecLines(t *testing.T) {
	s := startServer(t, git.Config{})
	long := strings.Repeat("a", 64)
	for _, line := range []string{
		"git-receive-pack '../x'", "git-receive-pack '-x'", "git-receive-pack 'a;b'", "git-receive-pack ''",
		"git-receive-pack '" + long + "'", "git-receive-pack 'blog' 'blog'", "git-receive-pack 'blog'; id",
		"git-receive-pack $(id)", "git-receive-pack --help", "git-upload-pack '/etc/passwd'", "git-upload-archive 'blog'",
		"git-receive-pack 'bl\\og'", "git-receive-pack", "git-receive-pack 'apps/blog/git'", "git-receive-pack 'blog\n'",
		"git-receive-pack 'a\x1b[31mb'", "id", "scp -t /", "hop3-server git-receive-pack blog",
	} {
		out, err := s.client(t.TempDir(), s.key, "ssh", line).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "hop3: ") || strings.Contains(string(out), "\x1b") {
			t.Errorf("%q: err %v, output %q", line, err, out)
		}
	}
	if apps, _ := filepath.Glob(filepath.Join(s.Home, "apps", "*")); len(apps) > 0 {
		t.Errorf("there are now %v", apps)
	}
}

func TestParseLine(t *testing.T) {
	const home = "/srv/hop3"
	for _, repo := range []string{
		"blog", "/blog", "blog.git", "/blog.git", "~/blog", "blog/", "/srv/hop3/apps/blog/git", "/srv/hop3/apps/blog/git/",
		"/home/hop3/apps/blog/git", "~/apps/blog/git",
	} {
		for _, quoted := range []string{repo, "'" + repo + "'", `"` + repo + `"`} {
			for _, verb := range []string{"git-receive-pack", "git receive-pack"} {
				got, err := parseLine(home, verb+" "+quoted)
				if err != nil || got != (command{receivePack, "blog"}) {
					t.Errorf("%s %s: %+v, %v", verb, quoted, got, err)
				}
			}
		}
	}
}

func TestGreeting(t *testing.T) {
	s := startServer(t, git.Config{})
	out, err := s.client(t.TempDir(), s.key, "ssh").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Hi alice!") || !strings.Contains(string(out), "git remote add hop3 ssh://") {
		t.Errorf("err %v, output %s", err, out)
	}
}

func TestConnectionLimits(t *testing.T) {
	home := t.TempDir()
	s := &Server{Home: home, Users: &fakeUsers{}, Logger: zaptest.NewLogger(t), MaxConns: 10, MaxConnsPerHost: 2, HandshakeTimeout: 300 * time.Millisecond}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(context.Background(), listener); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer s.Close()
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if n, _ := io.Copy(io.Discard, conns[2]); n != 0 {
		t.Error("the third connection was served")
	}
	// The others are silent, and one trickles: both are cut.
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := conns[0].Write([]byte("x")); err != nil {
					return
				}
			}
		}
	})
	defer close(stop)
	for _, c := range conns[:2] {
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("a connection without a user stays open")
		}
	}
}

func TestHostKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssh", "host_ed25519")
	var wg sync.WaitGroup
	keys := make([]string, 8)
	for i := range keys {
		wg.Go(func() {
			signer, err := LoadHostKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = gossh.FingerprintSHA256(signer.PublicKey())
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k == "" {
			t.Fatalf("different keys: %v", keys)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".host-key-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
