package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git/hook"
)

func open(t *testing.T, home string, cfg Config) *Repositories {
	t.Helper()
	cfg.Logger = zaptest.NewLogger(t)
	r, err := Open(home, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// run runs a stock git, isolated from the machine's configuration.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// stored makes an app's repository with the files as two commits on main, the
// second adding a file "last".
func stored(t *testing.T, r *Repositories, app string, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	run(t, dir, "init", "-q", "-b", "main")
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "First\n\nwith a body")
	write(t, filepath.Join(dir, "last"), "x")
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "Second")
	run(t, dir, "tag", "-a", "v1", "-m", "one")
	if err := r.Ensure(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "push", "-q", filepath.Join(r.home, "apps", app, "git"), "main", "v1")
	return dir
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRepositories(t *testing.T) {
	r, ctx := open(t, t.TempDir(), Config{}), t.Context()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := r.Ensure(ctx, "blog"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(r.home, "apps", "blog", "*")); len(left) != 1 {
		t.Errorf("the app's directory holds %v", left)
	}
	if hash, err := r.Ref(ctx, "blog", "refs/heads/main"); hash != "" || err != nil {
		t.Errorf("a new repository has main at %q, %v", hash, err)
	}
	if err := r.SetHead(ctx, "blog", "trunk"); err != nil {
		t.Error(err)
	}
	if head, _ := os.ReadFile(filepath.Join(r.home, "apps/blog/git/HEAD")); string(head) != "ref: refs/heads/trunk\n" {
		t.Errorf("HEAD is %q", head)
	}
	for _, bad := range []string{"../x", "refs/../../x", "refs/heads/a..b", "config", "refs/heads/\x00", ""} {
		if _, err := r.Ref(ctx, "blog", bad); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("Ref(%q): %v", bad, err)
		}
		if err := r.SetHead(ctx, "blog", "../"+bad); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("SetHead(%q): %v", bad, err)
		}
	}
	for range 2 {
		if err := r.Remove(ctx, "blog"); err != nil {
			t.Error(err)
		}
	}
	if r.Exists("blog") || r.Remove(ctx, "never-was") != nil {
		t.Error("not removed")
	}
	if _, err := r.Ref(ctx, "blog", "HEAD"); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("Ref without a repository: %v", err)
	}
	if err := r.Ensure(ctx, "../blog"); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("Ensure of a bad name: %v", err)
	}
}

func TestReadingHistory(t *testing.T) {
	r, ctx := open(t, t.TempDir(), Config{}), t.Context()
	dir := stored(t, r, "blog", map[string]string{"a": "1"})
	tip, first := run(t, dir, "rev-parse", "HEAD"), run(t, dir, "rev-parse", "HEAD~1")
	for rev, want := range map[string]string{"main": tip, "HEAD": tip, "refs/heads/main": tip, "v1": tip, tip: tip, first: first, first[:7]: first} {
		c, err := r.Commit(ctx, "blog", rev)
		if err != nil {
			t.Errorf("%s: %v", rev, err)
			continue
		}
		if d, _ := c.Describe(ctx); d.Commit != want {
			t.Errorf("%s is %s, want %s", rev, d.Commit, want)
		}
	}
	for _, rev := range []string{"nope", "-x", "main~1", "../../etc", strings.Repeat("0", 40), "0000000", ""} {
		if _, err := r.Commit(ctx, "blog", rev); hop3.CodeOf(err) != hop3.CodeNotFound {
			t.Errorf("Commit(%q): %v", rev, err)
		}
	}
	if err := r.Tidy(ctx, "blog"); err != nil {
		t.Error(err)
	}
	log, err := r.Log(ctx, "blog", "main", 10)
	if err != nil || len(log) != 2 || log[0].Hash != tip || log[1].Subject != "First" || log[1].Author != "Ann" {
		t.Errorf("log %+v, %v", log, err)
	}
	refs, err := r.Refs(ctx, "blog")
	if err != nil || len(refs) != 2 || refs["refs/heads/main"] != tip {
		t.Errorf("refs %v, %v", refs, err)
	}
}

func TestCommitAsFiles(t *testing.T) {
	r, ctx := open(t, t.TempDir(), Config{}), t.Context()
	files := map[string]string{"Procfile": "web: run\n", "a-b": "x", "a/b": "1", "a/c/d": "2", "empty": ""}
	dir := stored(t, r, "blog", files)
	if err := os.Symlink("../Procfile", filepath.Join(dir, "a", "link")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "run.sh"), "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "links")
	run(t, dir, "push", "-q", filepath.Join(r.home, "apps/blog/git"), "main")
	c, err := r.Commit(ctx, "blog", "main")
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := c.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(fsys, "a/link"); err != nil || string(data) != files["Procfile"] {
		t.Errorf("through a link: %q, %v", data, err)
	}
	if _, err := fs.Stat(fsys, "a/nope"); err == nil {
		t.Error("found what is not there")
	}
	names, err := fs.Glob(fsys, "a/*")
	if err != nil || strings.Join(names, " ") != "a/b a/c a/link" {
		t.Errorf("glob: %v, %v", names, err)
	}
	run(t, dir, "rm", "-q", "a/link")
	run(t, dir, "commit", "-q", "-m", "no links")
	run(t, dir, "push", "-q", filepath.Join(r.home, "apps/blog/git"), "main")
	if c, err = r.Commit(ctx, "blog", "main"); err != nil {
		t.Fatal(err)
	}
	fsys, _ = c.Open(ctx)
	if err := fstest.TestFS(fsys, "Procfile", "a-b", "a/b", "a/c/d", "empty", "run.sh"); err != nil {
		t.Error(err)
	}

	out := t.TempDir()
	if err := c.CheckOut(ctx, out); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]fs.FileMode{"run.sh": 0o755, "Procfile": 0o644, "a": 0o755} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(r.home, "apps/blog/git")); len(entries) > 8 {
		t.Errorf("left in the repository: %v", entries)
	}
}

func TestFollow(t *testing.T) {
	links := map[string]string{"here": ".", "a/up": "..", "abs": "/etc", "loop": "loop2", "loop2": "loop", "b": "a/c", "deep": "here/here/a"}
	for name, want := range map[string]string{
		"a/x": "a/x", "here/a/x": "a/x", "a/up/a/up/z": "z", "b/x": "a/c/x", "deep/q": "a/q", "a/../b/../x": "a/x",
		"..": "!", "here/..": "!", "a/up/..": "!", "abs/x": "!", "a/../..": "!", "loop": "?",
	} {
		got, err := follow(name, func(n string) (string, error) { return links[n], nil })
		switch err {
		case errEscapes:
			got = "!"
		case errLoops:
			got = "?"
		}
		if got != want {
			t.Errorf("%s leads to %q, want %q", name, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext é":            "plain\ttext é",
		"\x1b[1;31mred\x1b[0m":     "red",
		"\x1b]0;title\x07x":        "x",
		"a\x00b\x07c\x7fd\u009be":  "abcde",
		"10%\r50%\r100%\r":         "100%",
		"bad\xffutf8":              "bad\uFFFDutf8",
		strings.Repeat("é", 3_000): strings.Repeat("é", 2_048) + "…",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%.40q becomes %.40q, want %.40q", in, got, want)
		}
	}
}

func TestRelayNeverBlocks(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	mu.Lock()
	r := NewRelay(func(line string) error {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
		return nil
	})
	for i := range 3 * relayLines {
		r.Log(hop3.LogLine{Text: fmt.Sprint(i)})
	}
	mu.Unlock()
	r.Close()
	r.Log(hop3.LogLine{Text: "late"})
	if n := len(lines); n < relayLines || n > 2*relayLines+2 || lines[0] != "0" || !strings.Contains(strings.Join(lines, "\n"), "lines left out)") {
		t.Errorf("%d lines, from %q to %q", n, lines[0], lines[n-1])
	}
}

func TestSweep(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home [of] *")
	r := open(t, home, Config{})
	if err := r.Ensure(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(home, "apps", "blog", "git")
	for _, name := range []string{"objects/tmp_objdir-incoming-x/pack/p", "objects/pack/tmp_pack_x", "objects/ab/tmp_obj_x", "HEAD.lock", "refs/heads/a/b.lock", "../git.new-1/HEAD", "../git.removed-2/git/HEAD"} {
		write(t, filepath.Join(bare, name), "x")
	}
	// A git that an earlier server left, with a child, waiting for input.
	earlier := exec.Command("git", "receive-pack", bare)
	earlier.Env = []string{"PATH=" + os.Getenv("PATH"), envHome + "=" + home, envInstance + "=earlier"}
	earlier.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := earlier.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := earlier.Start(); err != nil {
		t.Fatal(err)
	}
	// One of another home stays.
	other := exec.Command("sleep", "60")
	other.Env = []string{"PATH=" + os.Getenv("PATH"), envHome + "=" + home + "2", envInstance + "=earlier"}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- earlier.Wait() }()
	if err := r.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the earlier server's git ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the earlier server's git still runs")
		_ = earlier.Process.Kill()
	}
	if err := unix.Kill(other.Process.Pid, 0); err != nil {
		t.Error("another home's process was killed")
	}
	_ = other.Process.Kill()
	_ = other.Wait()
	var left []string
	_ = filepath.WalkDir(filepath.Dir(bare), func(name string, d fs.DirEntry, err error) error {
		if err == nil && (strings.Contains(name, "tmp_") || strings.Contains(name, ".lock") || strings.Contains(name, "git.")) {
			left = append(left, name)
		}
		return err
	})
	if len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	run(t, bare, "fsck", "--full", "--strict")
}

func TestHookWithoutServer(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"no socket":     {},
		"nobody home":   {hook.EnvSocket: filepath.Join(t.TempDir(), "hook.sock"), hook.EnvToken: "x"},
		"unknown token": {hook.EnvSocket: open(t, t.TempDir(), Config{}).hooks.path, hook.EnvToken: "guess"},
	} {
		var said bytes.Buffer
		err := hook.Run(strings.NewReader("old new refs/heads/main\n"), &said, func(key string) string { return env[key] })
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A home whose socket's path does not fit into an address works all the same.
func TestLongHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	r := open(t, home, Config{})
	e := r.hooks.expect(t.Context(), "blog", home, func(_ context.Context, p hop3.Push, out hop3.Output) error {
		out.Log(hop3.LogLine{Text: "hello " + p.Updates[0].Name + " " + p.Options[0]})
		return nil
	})
	env := map[string]string{hook.EnvSocket: r.hooks.path, hook.EnvToken: e.token, "GIT_PUSH_OPTION_COUNT": "1", "GIT_PUSH_OPTION_0": "opt"}
	var said bytes.Buffer
	if err := hook.Run(strings.NewReader("a b refs/heads/m\n"), &said, func(key string) string { return env[key] }); err != nil {
		t.Fatal(err)
	}
	if said.String() != "hello refs/heads/m opt\n" {
		t.Errorf("the hook said %q", said.String())
	}
	if called, err := e.release(); !called || err != nil {
		t.Errorf("called %v, %v", called, err)
	}
	if info, err := os.Stat(r.hooks.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}
}

func TestGitIsMissing(t *testing.T) {
	r := open(t, t.TempDir(), Config{Binary: "/nonexistent/git"})
	err := r.CheckInstalled(t.Context())
	if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "apt-get install git") {
		t.Errorf("got %v", err)
	}
	if err := open(t, t.TempDir(), Config{}).CheckInstalled(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTooManyTransfers(t *testing.T) {
	r := open(t, t.TempDir(), Config{MaxTransfers: 1})
	if err := r.Ensure(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stdin, hangUp := io.Pipe()
	defer hangUp.Close()
	said := make(firstWrite, 1)
	first := make(chan error, 1)
	go func() { first <- r.Upload(ctx, "blog", Streams{Stdin: stdin, Stdout: said}) }()
	<-said
	if err := r.Upload(t.Context(), "blog", Streams{}); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("the second got %v", err)
	}
	cancel()
	if err := <-first; err == nil {
		t.Error("the first was not stopped")
	}
}

// firstWrite receives when it is first written to.
type firstWrite chan struct{}

func (w firstWrite) Write(p []byte) (int, error) {
	select {
	case w <- struct{}{}:
	default:
	}
	return len(p), nil
}

// A git that finds no hook would take every push.
func TestNoHookNoPush(t *testing.T) {
	r := open(t, t.TempDir(), Config{Executable: "/nonexistent/hop3"})
	if err := r.Ensure(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	if err := r.Receive(t.Context(), "blog", ReceiveOptions{}); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}
