package sshd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git"
)

// testServer is a server on a loopback port with one user, alice, whose key the
// git client uses.
type testServer struct {
	*Server
	t      *testing.T
	repos  *git.Repositories
	addr   string
	key    string // alice's private key file
	pushes *fakePushes
	users  *fakeUsers
}

func startServer(t *testing.T, cfg git.Config) *testServer {
	t.Helper()
	home := t.TempDir()
	logger := zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	cfg.Logger = logger
	repos, err := git.Open(home, cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{t: t, repos: repos, addr: listener.Addr().String(), pushes: &fakePushes{repos: repos, dir: t.TempDir()}, users: &fakeUsers{}}
	s.Server = &Server{Home: home, Repos: repos, Users: s.users, Pushes: s.pushes, Fetches: s.pushes, Logger: logger}
	var signer gossh.Signer
	s.key, signer = newKey(t)
	s.users.add("alice", signer)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := repos.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newKey(t *testing.T) (file string, signer gossh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err = gossh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return file, signer
}

// fakeUsers is a key table.
type fakeUsers struct {
	mu    sync.Mutex
	byKey map[string]hop3.User
}

func (u *fakeUsers) add(name string, key gossh.Signer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byKey == nil {
		u.byKey = map[string]hop3.User{}
	}
	u.byKey[gossh.FingerprintSHA256(key.PublicKey())] = hop3.User{Username: name, Active: true}
}

func (u *fakeUsers) UserByKey(_ context.Context, fingerprint string) (hop3.User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if user, ok := u.byKey[fingerprint]; ok {
		return user, nil
	}
	return hop3.User{}, hop3.Errorf(hop3.CodeNotFound, "no such key")
}

func (u *fakeUsers) Present(ctx context.Context, _ hop3.User) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

// fakePushes stands for the platform: it checks pushed branches out and accepts
// the push unless decide says otherwise.
type fakePushes struct {
	repos  *git.Repositories
	dir    string
	decide func(ctx context.Context, p hop3.Push, out hop3.Output) error

	mu      sync.Mutex
	pushed  []hop3.Push
	settled []error
	last    string        // directory of the last checkout
	source  hop3.Release  // what the last commit said of itself
	began   chan struct{} // when set, receives before each decision
}

type fakePush struct {
	*fakePushes
	out hop3.Output
}

// MayFetch hides the app secret from everybody.
func (f *fakePushes) MayFetch(_ context.Context, _ string, _ bool, app string) error {
	if app == "secret" {
		return hop3.Errorf(hop3.CodeNotFound, "App 'secret' not found.")
	}
	return nil
}

func (f *fakePushes) BeginPush(ctx context.Context, username string, _ bool, app string, out hop3.Output) (Push, error) {
	out.Log(hop3.LogLine{Text: "-----> Hello " + username})
	return fakePush{f, out}, f.repos.Ensure(ctx, app)
}

func (f fakePush) PreReceive(ctx context.Context, p hop3.Push) error {
	f.mu.Lock()
	f.pushed = append(f.pushed, p)
	f.mu.Unlock()
	for _, u := range p.Updates {
		if u.Delete() || !strings.HasPrefix(u.Name, "refs/heads/") {
			f.out.Log(hop3.LogLine{Text: "-----> Stored " + u.Name})
			continue
		}
		if err := f.checkOut(ctx, p, u.New); err != nil {
			return err
		}
	}
	if f.began != nil {
		f.began <- struct{}{}
	}
	if f.decide != nil {
		return f.decide(ctx, p, f.out)
	}
	f.out.Log(hop3.LogLine{Text: "-----> Deployed"})
	return nil
}

func (f fakePush) checkOut(ctx context.Context, p hop3.Push, hash string) error {
	source, err := p.Commit(ctx, hash)
	if err != nil {
		return err
	}
	described, err := source.Describe(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(f.dir, "release-")
	if err != nil {
		return err
	}
	if err := source.CheckOut(ctx, dir); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.source = dir, described
	return nil
}

func (f fakePush) Settle(_ context.Context, exitErr error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled = append(f.settled, exitErr)
}

// lastPush returns the last push that reached PreReceive.
func (f *fakePushes) lastPush(t *testing.T) hop3.Push {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pushed) == 0 {
		t.Fatal("no push reached PreReceive")
	}
	return f.pushed[len(f.pushed)-1]
}

// url is the remote of an app.
func (s *testServer) url(app string) string { return "ssh://git@" + s.addr + "/" + app }

// client returns a command of a stock client with this user's key, isolated
// from the machine's configuration.
func (s *testServer) client(dir, key, name string, args ...string) *exec.Cmd {
	_, port, _ := net.SplitHostPort(s.addr)
	ssh := "ssh -F /dev/null -p " + port + " -i " + key + " -o IdentitiesOnly=yes -o IdentityAgent=none" +
		" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes"
	if name == "ssh" {
		options := strings.Fields(ssh)[1:]
		args = append(append(options, "127.0.0.1"), args...)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_SSH_COMMAND=" + ssh,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
	}
	return cmd
}

// try runs git and returns everything it said.
func (s *testServer) try(dir string, args ...string) (string, error) {
	out, err := s.client(dir, s.key, "git", args...).CombinedOutput()
	return string(out), err
}

// git runs git, which must succeed.
func (s *testServer) git(dir string, args ...string) string {
	s.t.Helper()
	out, err := s.try(dir, args...)
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// fails runs git, which must fail and say words.
func (s *testServer) fails(dir string, words string, args ...string) {
	s.t.Helper()
	out, err := s.try(dir, args...)
	if err == nil {
		s.t.Fatalf("git %s succeeded:\n%s", strings.Join(args, " "), out)
	}
	if !strings.Contains(out, words) {
		s.t.Fatalf("git %s said:\n%s\nwithout %q", strings.Join(args, " "), out, words)
	}
}

// project makes a repository with one commit.
func (s *testServer) project() string {
	s.t.Helper()
	dir := s.t.TempDir()
	s.git(dir, "init", "-q", "-b", "main")
	s.commit(dir, "Procfile", "web: run\n")
	return dir
}

func (s *testServer) commit(dir, file, content string) string {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.git(dir, "add", "-A")
	s.git(dir, "commit", "-q", "-m", "Change "+file)
	return s.git(dir, "rev-parse", "HEAD")
}

// bare is the app's repository on the server.
func (s *testServer) bare(app string) string { return filepath.Join(s.Home, "apps", app, "git") }

// ref returns where a reference of the server points to.
func (s *testServer) ref(app, name string) string {
	s.t.Helper()
	hash, err := s.repos.Ref(context.Background(), app, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return hash
}

func (s *testServer) wantRef(app, name, want string) {
	s.t.Helper()
	if got := s.ref(app, name); got != want {
		s.t.Fatalf("%s of %s is %q, want %q", name, app, got, want)
	}
}

// fsck checks the app's repository to be sound and without left-overs.
func (s *testServer) fsck(app string) {
	s.t.Helper()
	out := s.git(s.bare(app), "fsck", "--full", "--strict")
	if strings.Contains(out, "error") || strings.Contains(out, "missing") || strings.Contains(out, "broken") {
		s.t.Fatalf("git fsck: %s", out)
	}
	s.clean(app)
}

// clean checks that no temporary file of a push is left.
func (s *testServer) clean(app string) {
	s.t.Helper()
	for _, pattern := range []string{"objects/tmp_*", "objects/pack/tmp_*", "*.lock", "refs/heads/*.lock", "checkout-*"} {
		if left, _ := filepath.Glob(filepath.Join(s.bare(app), pattern)); len(left) > 0 {
			s.t.Errorf("left over: %v", left)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// lineWaiter collects output and lets a test wait for words in it.
type lineWaiter struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *lineWaiter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *lineWaiter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func (w *lineWaiter) wait(t *testing.T, words string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q in the output", words), func() bool { return strings.Contains(w.String(), words) })
}

// An app that a user may not see is, to them, one that nobody has.
func TestFetchingWhatOneMayNotSee(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.git(dir, "push", s.url("secret"), "main")
	said := func(app string) string {
		t.Helper()
		out, err := s.try(dir, "ls-remote", s.url(app))
		if err == nil {
			t.Errorf("%s was read", app)
		}
		return strings.ReplaceAll(out, app, "NAME")
	}
	if one, none := said("secret"), said("absent"); one != none || !strings.Contains(one, `there is no app "NAME"`) {
		t.Errorf("of secret:\n%s\nof none:\n%s", one, none)
	}
}
