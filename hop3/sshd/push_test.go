package sshd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git"
)

func TestPushesOfAStockClient(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	first := s.git(dir, "rev-parse", "HEAD")

	out := s.git(dir, "push", s.url("blog"), "main")
	for _, words := range []string{"-----> Hello alice", "remote: -----> Deployed"} {
		if !strings.Contains(out, words) {
			t.Errorf("the first push said\n%s\nwithout %q", out, words)
		}
	}
	s.wantRef("blog", "refs/heads/main", first)
	if got, _ := os.ReadFile(filepath.Join(s.pushes.last, "Procfile")); string(got) != "web: run\n" {
		t.Errorf("the checkout's Procfile is %q", got)
	}
	want := hop3.Release{Commit: first, Branch: "main", Author: "Ann", Subject: "Change Procfile"}
	if got := s.pushes.source; got.Commit != want.Commit || got.Branch != want.Branch || got.Author != want.Author || got.Subject != want.Subject {
		t.Errorf("the commit describes itself as %+v", got)
	}

	second := s.commit(dir, "app.py", "print()\n")
	s.git(dir, "push", s.url("blog"), "main")
	s.wantRef("blog", "refs/heads/main", second)
	s.fsck("blog")

	if out := s.git(dir, "push", s.url("blog"), "main"); !strings.Contains(out, "Everything up-to-date") {
		t.Errorf("a push of nothing said %s", out)
	}

	s.git(dir, "reset", "-q", "--hard", first)
	third := s.commit(dir, "other.py", "print(3)\n")
	s.fails(dir, "non-fast-forward", "push", s.url("blog"), "main")
	s.git(dir, "push", "--force", s.url("blog"), "main")
	s.wantRef("blog", "refs/heads/main", third)
	s.fsck("blog")

	s.git(dir, "tag", "v1")
	s.git(dir, "tag", "-a", "v2", "-m", "two")
	s.git(dir, "push", s.url("blog"), "main:feature", "v1", "v2")
	s.wantRef("blog", "refs/heads/feature", third)
	s.wantRef("blog", "refs/tags/v1", third)
	s.git(dir, "push", s.url("blog"), "--delete", "feature", "v2")
	s.wantRef("blog", "refs/heads/feature", "")
	s.wantRef("blog", "refs/tags/v2", "")
	s.fsck("blog")

	s.git(dir, "push", "-o", "force-build", "-o", "note=a b", s.url("blog"), "main:again")
	if got := s.pushes.lastPush(t).Options; !slices.Equal(got, []string{"force-build", "note=a b"}) {
		t.Errorf("push options arrived as %q", got)
	}
	for _, err := range s.pushes.settled {
		if err != nil {
			t.Errorf("a push was settled with %v", err)
		}
	}
}

func TestPushIsAtomic(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	first := s.git(dir, "rev-parse", "HEAD")
	s.git(dir, "push", "--atomic", s.url("blog"), "main", "main:other")
	s.wantRef("blog", "refs/heads/other", first)

	// A lock on one reference keeps the other where it is.
	second := s.commit(dir, "x", "y")
	lock := filepath.Join(s.bare("blog"), "refs/heads/other.lock")
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.fails(dir, "remote rejected", "push", "--atomic", s.url("blog"), "main", "main:other")
	s.wantRef("blog", "refs/heads/main", first)
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	s.git(dir, "push", "--atomic", s.url("blog"), "main", "main:other")
	s.wantRef("blog", "refs/heads/main", second)
	s.fsck("blog")
}

func TestShallowPush(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.commit(dir, "a", "1")
	s.git(dir, "push", s.url("blog"), "main")
	clone := filepath.Join(t.TempDir(), "clone")
	s.git(dir, "clone", "-q", "--depth", "1", s.url("blog"), clone)
	tip := s.commit(clone, "b", "2")
	s.git(clone, "push", s.url("blog"), "main")
	s.wantRef("blog", "refs/heads/main", tip)
	s.fsck("blog")

	s.fails(clone, "shallow update not allowed", "push", s.url("fresh"), "main")
	s.fsck("fresh")
}

func TestRefusedPushCanBeRetried(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	tip := s.git(dir, "rev-parse", "HEAD")
	s.pushes.decide = func(_ context.Context, _ hop3.Push, out hop3.Output) error {
		out.Log(hop3.LogLine{Text: "-----> Building\x1b[31m red\x07\nsecond line"})
		out.Log(hop3.LogLine{Text: "hidden", Level: 2})
		return hop3.Errorf(hop3.CodeDeploy, "the build failed").WithHint("Look at line 3.")
	}
	out, err := s.try(dir, "push", s.url("blog"), "main")
	if err == nil {
		t.Fatal("the refused push succeeded")
	}
	for _, words := range []string{"remote: -----> Building red", "remote: second line", "remote: the build failed", "remote: Look at line 3.", "[remote rejected] main -> main (pre-receive hook declined)"} {
		if !strings.Contains(out, words) {
			t.Errorf("the push said\n%s\nwithout %q", out, words)
		}
	}
	if strings.Contains(out, "hidden") || strings.ContainsAny(out, "\x1b\x07") {
		t.Errorf("the push showed what it must not:\n%q", out)
	}
	s.wantRef("blog", "refs/heads/main", "")
	s.fsck("blog")
	if got := s.pushes.settled; len(got) != 1 || got[0] == nil {
		t.Errorf("settled with %v", got)
	}
	s.pushes.decide = nil
	s.git(dir, "push", s.url("blog"), "main")
	s.wantRef("blog", "refs/heads/main", tip)
	s.fsck("blog")
}

func TestInternalErrorsAndPanicsStayInside(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.pushes.decide = func(context.Context, hop3.Push, hop3.Output) error { return errors.New("password=secret") }
	out, err := s.try(dir, "push", s.url("blog"), "main")
	if err == nil || strings.Contains(out, "secret") || !strings.Contains(out, "remote: internal error") {
		t.Errorf("err %v, output\n%s", err, out)
	}
	s.pushes.decide = func(context.Context, hop3.Push, hop3.Output) error { panic("boom") }
	s.fails(dir, "remote: internal error", "push", s.url("blog"), "main")
	s.pushes.decide = nil
	s.git(dir, "push", s.url("blog"), "main")
	s.fsck("blog")
}

func TestProgressArrivesAsItHappens(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	seen := make(chan struct{})
	s.pushes.decide = func(ctx context.Context, _ hop3.Push, out hop3.Output) error {
		out.Log(hop3.LogLine{Text: "-----> Installing"})
		select {
		case <-seen:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var said lineWaiter
	cmd := s.client(dir, s.key, "git", "push", s.url("blog"), "main")
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said.wait(t, "remote: -----> Installing")
	s.wantRef("blog", "refs/heads/main", "")
	close(seen)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	s.wantRef("blog", "refs/heads/main", s.git(dir, "rev-parse", "HEAD"))
}

func TestConcurrentPushes(t *testing.T) {
	const n = 8
	s := startServer(t, git.Config{})
	dirs := make([]string, n)
	for i := range dirs {
		dirs[i] = s.project()
		s.commit(dirs[i], "n", strings.Repeat("x", i))
	}
	race := func(app func(i int) string) (won int) {
		var wg sync.WaitGroup
		results := make([]error, n)
		for i := range n {
			wg.Go(func() { _, results[i] = s.try(dirs[i], "push", s.url(app(i)), "main") })
		}
		wg.Wait()
		for _, err := range results {
			if err == nil {
				won++
			}
		}
		return won
	}
	if won := race(func(i int) string { return "app" + string(rune('a'+i)) }); won != n {
		t.Errorf("%d of %d pushes to apps of their own succeeded", won, n)
	}
	// All stand at the start line together: none sees another's result when
	// it begins, and git lets one move the reference.
	s.pushes.decide = meet(n)
	if won := race(func(int) string { return "shared" }); won != 1 {
		t.Errorf("%d pushes moved one new branch", won)
	}
	s.fsck("shared")
	s.fsck("appa")
}

// meet returns a decision that accepts once n pushes have come to it.
func meet(n int) func(context.Context, hop3.Push, hop3.Output) error {
	var arrived sync.WaitGroup
	arrived.Add(n)
	return func(context.Context, hop3.Push, hop3.Output) error {
		arrived.Done()
		arrived.Wait()
		return nil
	}
}

func TestCloneAndFetch(t *testing.T) {
	s := startServer(t, git.Config{})
	dir := s.project()
	s.commit(dir, "a", "1")
	s.git(dir, "tag", "-a", "v1", "-m", "one")
	s.git(dir, "push", s.url("blog"), "main", "v1")
	clone := filepath.Join(t.TempDir(), "clone")
	s.git(dir, "clone", "-q", s.url("blog.git"), clone)
	if s.git(clone, "rev-parse", "HEAD") != s.git(dir, "rev-parse", "HEAD") {
		t.Error("the clone is another commit")
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	s.git(dir, "-c", "protocol.version=2", "clone", "-q", "--depth", "1", s.url("blog"), shallow)
	if n := s.git(shallow, "rev-list", "--count", "HEAD"); n != "1" {
		t.Errorf("the shallow clone has %s commits", n)
	}
	tip := s.commit(dir, "b", "2")
	s.git(dir, "push", s.url("blog"), "main")
	s.git(clone, "-c", "protocol.version=0", "fetch", "-q")
	if got := s.git(clone, "rev-parse", "origin/main"); got != tip {
		t.Errorf("fetched %s", got)
	}
	if out := s.git(dir, "ls-remote", s.url("blog")); !strings.Contains(out, "refs/tags/v1^{}") {
		t.Errorf("ls-remote shows no peeled tag:\n%s", out)
	}
	s.fails(dir, `there is no app "nowhere"`, "clone", s.url("nowhere"))
}
