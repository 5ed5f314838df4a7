package git

import (
	"context"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// elsewhere serves the repositories of a directory over HTTP, as git hosts do.
func elsewhere(t *testing.T, wrap func(http.Handler) http.Handler) (dir, url string) {
	t.Helper()
	dir = t.TempDir()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = &cgi.Handler{Path: path, Args: []string{"http-backend"}, Stderr: io.Discard, Env: []string{
		"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}}
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return dir, s.URL
}

// origin makes a repository with two commits there, and a clone to work in.
func origin(t *testing.T, dir, name string) (work string) {
	t.Helper()
	work = t.TempDir()
	run(t, work, "init", "-q", "-b", "trunk")
	for _, content := range []string{"one", "two"} {
		write(t, filepath.Join(work, "file"), content)
		run(t, work, "add", "-A")
		run(t, work, "commit", "-q", "-m", content)
	}
	run(t, work, "tag", "v1")
	run(t, dir, "clone", "-q", "--bare", work, name)
	run(t, work, "remote", "add", "origin", filepath.Join(dir, name))
	return work
}

func fetching(t *testing.T, cfg Config) *Repositories {
	t.Helper()
	cfg.AllowPrivate = true
	r := open(t, t.TempDir(), cfg)
	if err := r.Ensure(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	return r
}

// repository returns the files in an app's repository that should not be left.
func leftovers(t *testing.T, r *Repositories, app string) (names []string) {
	t.Helper()
	for _, pattern := range []string{"objects/tmp_*", "objects/pack/tmp_*", "objects/pack/*.keep", "*.lock", "FETCH_HEAD", "shallow_*"} {
		found, err := filepath.Glob(filepath.Join(r.home, "apps", app, "git", pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}

func TestFetch(t *testing.T) {
	dir, url := elsewhere(t, nil)
	work := origin(t, dir, "app.git")
	r := fetching(t, Config{})
	branch, commit, err := r.Fetch(t.Context(), "blog", url+"/app.git", "", hop3.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := run(t, work, "rev-parse", "trunk"); branch != "trunk" || commit != want {
		t.Errorf("fetched %s at %s, want trunk at %s", branch, commit, want)
	}
	// Nothing that a user sees has moved, and there is no history.
	refs, err := r.Refs(t.Context(), "blog")
	if err != nil || len(refs) != 1 || refs[fetchedRef] != commit {
		t.Errorf("%v, %v", refs, err)
	}
	repo := filepath.Join(r.home, "apps", "blog", "git")
	if n := run(t, repo, "rev-list", "--count", commit); n != "1" {
		t.Errorf("%s commits were fetched", n)
	}
	move := hop3.RefMove{Name: "refs/heads/trunk", Old: strings.Repeat("0", 40), New: commit}
	if err := r.MoveRef(t.Context(), "blog", move); err != nil {
		t.Fatal(err)
	}
	if err := r.MoveRef(t.Context(), "blog", move); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("moving it once more: %v", err)
	}

	// The next fetch brings what is new, on top of it.
	write(t, filepath.Join(work, "file"), "three")
	run(t, work, "commit", "-q", "-a", "-m", "three")
	run(t, work, "push", "-q", "origin", "trunk")
	_, newer, err := r.Fetch(t.Context(), "blog", url+"/app.git", "trunk", hop3.Discard)
	if err != nil || newer == commit {
		t.Fatalf("%s, %v", newer, err)
	}
	for _, c := range []struct {
		ancestor, commit string
		want             bool
	}{{commit, newer, true}, {newer, commit, false}, {newer, newer, true}, {strings.Repeat("1", 40), newer, false}} {
		if got, err := r.Contains(t.Context(), "blog", c.ancestor, c.commit); err != nil || got != c.want {
			t.Errorf("%.8s in %.8s: %v, %v", c.ancestor, c.commit, got, err)
		}
	}
	if out := run(t, repo, "fsck", "--full", "--strict"); strings.Contains(out, "missing") || strings.Contains(out, "error") {
		t.Error(out)
	}
	if left := leftovers(t, r, "blog"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}

	// A full clone can push on top of what has no history, clone it and fetch.
	write(t, filepath.Join(work, "file"), "four")
	run(t, work, "commit", "-q", "-a", "-m", "four")
	run(t, work, "push", "-q", repo, "trunk")
	// What branches off before needs the history.
	if err := r.Complete(t.Context(), "blog", url+"/app.git", "trunk"); err != nil {
		t.Fatal(err)
	}
	if err := r.Complete(t.Context(), "blog", url+"/app.git", "trunk"); err != nil {
		t.Fatal(err)
	}
	if n := run(t, repo, "rev-list", "--count", commit); n != "2" {
		t.Errorf("%s commits are there", n)
	}
	run(t, work, "checkout", "-q", "-b", "older", "v1~1")
	write(t, filepath.Join(work, "file"), "side")
	run(t, work, "commit", "-q", "-a", "-m", "from before the edge")
	run(t, work, "push", "-q", repo, "older")
	if left := leftovers(t, r, "blog"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	run(t, t.TempDir(), "clone", "-q", repo, "copy")
	if out := run(t, repo, "fsck", "--full", "--strict"); strings.Contains(out, "missing") || strings.Contains(out, "error") {
		t.Error(out)
	}
}

func TestFetchFailures(t *testing.T) {
	dir, url := elsewhere(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/away/"):
				http.Redirect(w, r, "http://192.168.255.1/x.git/info/refs", http.StatusFound)
			case strings.HasPrefix(r.URL.Path, "/page/"):
				http.Redirect(w, r, "/login", http.StatusFound)
			case r.URL.Path == "/login":
			case strings.HasPrefix(r.URL.Path, "/loop/"):
				http.Redirect(w, r, r.URL.Path, http.StatusFound)
			case strings.HasPrefix(r.URL.Path, "/file/"):
				http.Redirect(w, r, "file:///etc", http.StatusFound)
			case strings.HasPrefix(r.URL.Path, "/moved/"):
				http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/moved")+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			case strings.HasPrefix(r.URL.Path, "/secret/"):
				if _, password, _ := r.BasicAuth(); password != "s3cret" {
					http.Error(w, "who?", http.StatusUnauthorized)
					return
				}
				http.StripPrefix("/secret", h).ServeHTTP(w, r)
			default:
				h.ServeHTTP(w, r)
			}
		})
	})
	origin(t, dir, "app.git")
	run(t, dir, "init", "-q", "--bare", "empty.git")
	r := fetching(t, Config{})
	for address, want := range map[string]string{
		"/none.git":       "404",
		"/empty.git":      "is empty, or has no default branch",
		"/page/x":         "redirects to",
		"/loop/x":         "too often",
		"/file/x":         "not safe",
		"/secret/app.git": "401",
	} {
		_, _, err := r.Fetch(t.Context(), "blog", url+address, "", hop3.Discard)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	if _, _, err := r.Fetch(t.Context(), "blog", url+"/app.git", "nosuch", hop3.Discard); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("another branch: %v", err)
	}
	if _, _, err := r.Fetch(t.Context(), "blog", "git@example.com:a/b", "", hop3.Discard); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("by ssh: %v", err)
	}
	for _, address := range []string{"/moved/app.git", "/app.git"} {
		if _, _, err := r.Fetch(t.Context(), "blog", url+address, "", hop3.Discard); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	private := strings.Replace(url, "://", "://ann:s3cret@", 1) + "/secret/app.git"
	if _, _, err := r.Fetch(t.Context(), "blog", private, "", hop3.Discard); err != nil {
		t.Errorf("with a password: %v", err)
	}
	if left := leftovers(t, r, "blog"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if config, err := os.ReadFile(filepath.Join(r.home, "apps", "blog", "git", "config")); err != nil || strings.Contains(string(config), "s3cret") {
		t.Errorf("%s, %v", config, err)
	}

	// By default nothing of this machine is reached, by name, number or redirect.
	public := open(t, t.TempDir(), Config{})
	if err := public.Ensure(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	port := url[strings.LastIndexByte(url, ':'):]
	for _, address := range []string{
		url, "http://localhost" + port, "http://[::1]" + port, "http://2130706433" + port, "http://[::ffff:127.0.0.1]" + port, "git://localhost" + port, "git://10.0.0.1",
	} {
		_, _, err := public.Fetch(t.Context(), "blog", address+"/app.git", "", hop3.Discard)
		if hop3.CodeOf(err) != hop3.CodeForbidden && !strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What takes too long or becomes too large is ended, and nothing of it stays.
func TestFetchLimits(t *testing.T) {
	hold := make(chan struct{})
	dir, url := elsewhere(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/slow/") && r.Method == http.MethodPost {
				<-hold
				return
			}
			if strings.HasPrefix(r.URL.Path, "/slow/") {
				http.StripPrefix("/slow", h).ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	t.Cleanup(func() { close(hold) })
	work := origin(t, dir, "app.git")
	noise := make([]byte, 8<<20)
	state := uint32(1)
	for i := range noise { // does not compress
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	write(t, filepath.Join(work, "noise"), string(noise))
	run(t, work, "add", "-A")
	run(t, work, "commit", "-q", "-m", "large")
	run(t, work, "push", "-q", "origin", "trunk")

	slow := fetching(t, Config{FetchTimeout: 2 * time.Second})
	start := time.Now()
	_, _, err := slow.Fetch(t.Context(), "blog", url+"/slow/app.git", "trunk", hop3.Discard)
	if err == nil || !strings.Contains(err.Error(), "longer than 2s") || time.Since(start) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	small := fetching(t, Config{MaxFetchBytes: 1 << 20})
	if _, _, err := small.Fetch(t.Context(), "blog", url+"/app.git", "trunk", hop3.Discard); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "larger than 1 MB") {
		t.Errorf("8 MB: %v", err)
	}
	if left := leftovers(t, small, "blog"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if packs, err := filepath.Glob(filepath.Join(small.home, "apps", "blog", "git", "objects", "pack", "*")); err != nil || len(packs) > 0 {
		t.Errorf("%v, %v", packs, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := slow.Fetch(ctx, "blog", url+"/app.git", "trunk", hop3.Discard); err == nil {
		t.Error("a fetch that nobody waits for succeeded")
	}
	if left := leftovers(t, slow, "blog"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	refs, err := slow.Refs(t.Context(), "blog")
	if err != nil || len(refs) > 0 {
		t.Errorf("%v, %v", refs, err)
	}
}

func TestFetchSize(t *testing.T) {
	r := fetching(t, Config{MaxFetchBytes: 1 << 20})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pack"), strings.Repeat("x", 2<<20))
	ctx, end := context.WithCancelCause(t.Context())
	<-r.watchSize(ctx, dir, end)
	if cause := context.Cause(ctx); hop3.CodeOf(cause) != hop3.CodeInvalid || !strings.Contains(cause.Error(), "larger than 1 MB") {
		t.Errorf("got %v", cause)
	}
}

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "1.1.1.1": true,
		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "fd12::1": false, "ff02::1": false, "::ffff:127.0.0.1": false,
		"::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::127.0.0.1": false, "fe80::1%eth0": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}
