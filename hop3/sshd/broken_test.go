package sshd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git"
)

// startPush starts a push and returns once its deploy is under way.
func (s *testServer) startPush(dir string, args ...string) *exec.Cmd {
	s.t.Helper()
	s.pushes.began = make(chan struct{}, 8)
	cmd := s.client(dir, s.key, "git", append([]string{"push"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // git and its ssh
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.pushes.began:
	case <-time.After(20 * time.Second):
		s.t.Fatal("the push did not get as far as its decision")
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
}

func (s *testServer) settlements() []error {
	s.pushes.mu.Lock()
	defer s.pushes.mu.Unlock()
	return s.pushes.settled
}

func TestClientKilledDuringDeploy(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.pushes.decide = func(ctx context.Context, _ hop3.Push, _ hop3.Output) error {
		<-ctx.Done()
		return hop3.Errorf(hop3.CodeCanceled, "gave up")
	}
	kill(s.startPush(dir, s.url("blog"), "main"))
	eventually(t, "the push is settled", func() bool { return len(s.settlements()) == 1 })
	if s.settlements()[0] == nil {
		t.Error("settled without an error")
	}
	s.wantRef("blog", "refs/heads/main", "")
	s.fsck("blog")
	s.pushes.decide, s.pushes.began = nil, nil
	s.git(dir, "push", s.url("blog"), "main")
	s.fsck("blog")
}

// A deploy that went through is recorded though nobody is there to see it.
func TestClientKilledAfterTheSwitch(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.pushes.decide = func(ctx context.Context, _ hop3.Push, _ hop3.Output) error {
		<-ctx.Done()
		return nil
	}
	kill(s.startPush(dir, s.url("blog"), "main"))
	eventually(t, "the push is settled", func() bool { return len(s.settlements()) == 1 })
	s.wantRef("blog", "refs/heads/main", s.git(dir, "rev-parse", "HEAD"))
	s.fsck("blog")
}

// A push cut at any byte leaves a sound repository and nothing behind.
func TestPushCutShort(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	if err := os.WriteFile(filepath.Join(dir, "big"), noise(1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	tip := s.commit(dir, "small", "1")
	pack := s.stdin(dir, tip+"\n", "pack-objects", "--revs", "--stdout", "--quiet")
	line := strings.Repeat("0", 40) + " " + tip + " refs/heads/main\x00report-status"
	request := fmt.Sprintf("%04x%s0000%s", 4+len(line), line, pack)
	if err := s.repos.Ensure(context.Background(), "blog"); err != nil {
		t.Fatal(err)
	}
	_, bob := newKey(t)
	s.users.add("bob", bob)
	for n, cut := range []int{0, 3, len(line), len(line) + 12, len(request) / 2, len(request) - 1} {
		client, err := s.dial(gossh.PublicKeys(bob))
		if err != nil {
			t.Fatal(err)
		}
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		session.Stdin = strings.NewReader(request[:cut])
		if n%2 == 0 {
			silent, hangUp := io.Pipe()
			defer hangUp.Close()
			session.Stdin = io.MultiReader(session.Stdin, silent)
		}
		if err := session.Start("git-receive-pack 'blog'"); err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 && cut > len(line)+20 {
			eventually(t, "objects arrive", func() bool {
				incoming, _ := filepath.Glob(filepath.Join(s.bare("blog"), "objects", "tmp_objdir-*"))
				return len(incoming) > 0
			})
		}
		if n%2 == 1 {
			_ = session.Wait()
		}
		client.Close()
		eventually(t, "the push is settled", func() bool { return len(s.settlements()) > n })
		s.wantRef("blog", "refs/heads/main", "")
		s.fsck("blog")
	}
	s.git(dir, "push", s.url("blog"), "main")
	s.fsck("blog")
}

// noise is incompressible, and the same each time.
func noise(n int) []byte {
	out := make([]byte, 0, n)
	for x := uint64(88172645463325252); len(out) < n; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out = append(out, byte(x), byte(x>>8), byte(x>>16), byte(x>>24), byte(x>>32), byte(x>>40), byte(x>>48), byte(x>>56))
	}
	return out
}

func TestServerClosesDuringDeploy(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.pushes.decide = func(ctx context.Context, _ hop3.Push, _ hop3.Output) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	cmd := s.startPush(dir, s.url("blog"), "main")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the push succeeded")
	}
	if n := len(s.settlements()); n != 1 {
		t.Errorf("settled %d times when Close returned", n)
	}
	s.wantRef("blog", "refs/heads/main", "")
	s.fsck("blog")
}

func TestShutdownWaitsForPushes(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	finish := make(chan struct{})
	s.pushes.decide = func(ctx context.Context, _ hop3.Push, _ hop3.Output) error {
		select {
		case <-finish:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	cmd := s.startPush(dir, s.url("blog"), "main")
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	eventually(t, "no new connections are taken", func() bool {
		_, err := s.try(dir, "ls-remote", s.url("blog"))
		return err != nil
	})
	close(finish)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the push under way failed: %v", err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	s.wantRef("blog", "refs/heads/main", s.git(dir, "rev-parse", "HEAD"))
}

func TestPackLargerThanAllowed(t *testing.T) {
	s := startServer(t, git.Config{MaxPackBytes: 1 << 20})
	dir := s.project()
	if err := os.WriteFile(filepath.Join(dir, "big"), noise(4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s.commit(dir, "small", "1")
	s.fails(dir, "pack exceeds maximum allowed size", "push", s.url("blog"), "main")
	s.fsck("blog")
}

// 200 MB of zeros are 200 kB to send: neither git nor this process may need
// memory for what they unpack to.
func TestCompressionBomb(t *testing.T) {
	s := startServer(t, git.Config{MemoryBytes: 96 << 20, MaxTree: 100 << 20})
	dir := s.project()
	if err := os.WriteFile(filepath.Join(dir, "zeros"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "zeros"), 200<<20); err != nil {
		t.Fatal(err)
	}
	s.commit(dir, "small", "1")
	before := peakMemory(t)
	s.fails(dir, "the commit's files are larger than 100 MB together", "push", s.url("blog"), "main")
	if grown := peakMemory(t) - before; grown > 64<<10 {
		t.Errorf("this process grew by %d kB", grown)
	}
	s.fsck("blog")
}

// peakMemory returns the most memory this process ever had resident, in kB.
func peakMemory(t *testing.T) int {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return int(usage.Maxrss)
}

// A pack whose delta unpacks to more than git may allocate ends git, not us.
func TestMemoryLimitOfGit(t *testing.T) {
	s := startServer(t, git.Config{MemoryBytes: 24 << 20})
	dir := s.project()
	// Below bigFileThreshold, so it is loaded; compressible, so it is sent
	// at once.
	if err := os.WriteFile(filepath.Join(dir, "zeros"), bytes.Repeat([]byte("0"), 30<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s.commit(dir, "small", "1")
	if out, err := s.try(dir, "push", s.url("blog"), "main"); err == nil {
		t.Errorf("the push went through:\n%s", out)
	}
	s.wantRef("blog", "refs/heads/main", "")
	s.fsck("blog")
}

func TestHostileTrees(t *testing.T) {
	s := startServer(t, git.Config{MaxFiles: 100})
	for name, link := range map[string]string{
		"absolute": "/etc/passwd",
		"upwards":  "../../etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			dir := s.project()
			if err := os.Symlink(link, filepath.Join(dir, "evil")); err != nil {
				t.Fatal(err)
			}
			s.commit(dir, "a/b", "1")
			s.fails(dir, "remote: the symbolic link evil points to "+link+", outside of the app's directory", "push", s.url("links"), "main")
			s.fsck("links")
		})
	}
	t.Run("by way of another link", func(t *testing.T) {
		dir := s.project()
		for link, target := range map[string]string{"here": ".", "evil": "here/../secrets"} {
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		s.commit(dir, "a", "1")
		s.fails(dir, "remote: the symbolic link evil points to", "push", s.url("links"), "main")
	})
	t.Run("links that stay inside", func(t *testing.T) {
		dir := s.project()
		for link, target := range map[string]string{"to-file": "a/b", "dangling": "nowhere", "loop": "loop", "a/up": "../Procfile"} {
			if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		s.commit(dir, "a/b", "1")
		s.git(dir, "push", s.url("inside"), "main")
		if target, err := os.Readlink(filepath.Join(s.pushes.last, "a/up")); err != nil || target != "../Procfile" {
			t.Errorf("the link was checked out to %q, %v", target, err)
		}
	})
	t.Run("files without end", func(t *testing.T) {
		dir := s.project()
		s.treeBomb(dir)
		s.fails(dir, "remote: the commit has more than 100 files and directories", "push", s.url("bomb"), "main")
	})
	t.Run("a .git in the tree", func(t *testing.T) {
		dir := s.project()
		blob := s.git(dir, "hash-object", "-w", "Procfile")
		tree := s.stdin(dir, "100644 blob "+blob+"\t.git\n", "mktree")
		commit := s.git(dir, "commit-tree", "-m", "evil", tree)
		s.fails(dir, "hasDotgit", "push", s.url("dotgit"), commit+":refs/heads/main")
		s.fsck("dotgit")
	})
}

// treeBomb commits a few trees that spell out to 10^9 files.
func (s *testServer) treeBomb(dir string) {
	s.t.Helper()
	entry := "100644 blob " + s.git(dir, "hash-object", "-w", "Procfile")
	for range 9 {
		var listing strings.Builder
		for name := range 10 {
			listing.WriteString(entry + "\tn" + string(rune('0'+name)) + "\n")
		}
		entry = "040000 tree " + s.stdin(dir, listing.String(), "mktree")
	}
	tree := strings.TrimPrefix(entry, "040000 tree ")
	s.git(dir, "update-ref", "refs/heads/main", s.git(dir, "commit-tree", "-m", "bomb", tree))
}

func (s *testServer) stdin(dir, input string, args ...string) string {
	s.t.Helper()
	cmd := s.client(dir, s.key, "git", args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			s.t.Fatalf("git %s: %s", args[0], exit.Stderr)
		}
		s.t.Fatal(err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func TestSubmodulesAreLeftOut(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.git(dir, "update-index", "--add", "--cacheinfo", "160000,"+s.git(dir, "rev-parse", "HEAD")+",vendor/lib")
	s.git(dir, "commit", "-q", "-m", "Add a submodule")
	out := s.git(dir, "push", s.url("blog"), "main")
	if !strings.Contains(out, "remote: The submodule vendor/lib is not checked out") {
		t.Errorf("the push said\n%s", out)
	}
}
