package caddymodules

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// site makes a static app of files, given as path and content in turn, in a
// directory whose own path has a hidden part.
func (s *server) site(files ...string) (root string) {
	s.t.Helper()
	root = filepath.Join(s.t.TempDir(), ".hidden", "public")
	for i := 0; i < len(files); i += 2 {
		p := filepath.Join(root, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(files[i+1]), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	s.set(hop3.Route{App: "site", Release: 1, Hosts: []string{"site.localhost"}, StaticRoot: root})
	return root
}

func TestAStaticAppServesItsFiles(t *testing.T) {
	s := startServer(t)
	s.site("index.html", "home", "about.html", "about", "docs/index.html", "docs", "a.css", "body{}",
		"a b.txt", "space", ".well-known/security.txt", "contact", "404.html", "gone fishing")
	for _, c := range []struct {
		path   string
		status int
		want   string // the body, or where a redirect leads
	}{
		{"/", 200, "home"},
		{"/about", 200, "about"},
		{"/about?x=y", 200, "about"},
		{"/docs/", 200, "docs"},
		{"/docs", 308, "/docs/"},
		{"/a.css", 200, "body{}"},
		{"/a%20b.txt", 200, "space"},
		{"/.well-known/security.txt", 200, "contact"},
		{"/no/such/page", 404, "gone fishing"},
	} {
		a := s.get("http://site.localhost" + c.path)
		got := a.text
		if a.StatusCode == 308 {
			got = a.Header.Get("Location")
		}
		if a.StatusCode != c.status || got != c.want {
			t.Errorf("%s: %s %q", c.path, a.Status, got)
		}
	}
	a := s.get("http://site.localhost/a.css")
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/css") || a.Header.Get("Etag") == "" {
		t.Errorf("headers: %v", a.Header)
	}
	if again := s.get("http://site.localhost/a.css", "If-None-Match", a.Header.Get("Etag")); again.StatusCode != 304 {
		t.Errorf("with its ETag: %s", again.Status)
	}
	if part := s.get("http://site.localhost/a.css", "Range", "bytes=0-3"); part.StatusCode != 206 || part.text != "body" {
		t.Errorf("a range: %s %q", part.Status, part.text)
	}
	if post := s.do("POST", "http://site.localhost/a.css", "x"); post.StatusCode != 405 {
		t.Errorf("POST: %s", post.Status)
	}
}

func TestPrecompressedFilesAreServed(t *testing.T) {
	s := startServer(t)
	s.site("a.js", "plain", "a.js.br", "brotli", "a.js.gz", "gzip")
	for accept, want := range map[string]string{"br, gzip": "brotli", "gzip": "gzip", "identity": "plain"} {
		if a := s.get("http://site.localhost/a.js", "Accept-Encoding", accept); a.text != want {
			t.Errorf("%s: %s %q", accept, a.Status, a.text)
		}
	}
}

func TestAStaticAppShowsNothingElse(t *testing.T) {
	s := startServer(t)
	root := s.site("index.html", "home", ".env", "SECRET", ".git/config", "SECRET", "sub/.env", "SECRET",
		"hop3.toml", "SECRET", "Procfile", "SECRET", "empty/.keep", "")
	outside := filepath.Join(t.TempDir(), "other.txt")
	if err := os.WriteFile(outside, []byte("SECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link.txt": outside, "dir": filepath.Dir(outside), "up": "../..", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("index.html", filepath.Join(root, "inside.html")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "pipe.txt"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/.env", "/.git/config", "/.git/", "/sub/.env", "/hop3.toml", "/Procfile", "/link.txt", "/dir/other.txt",
		"/up/", "/loop", "/pipe.txt", "/empty/", "/..%2f..%2fother.txt", "/%2e%2e/%2e%2e/etc/passwd",
		"/index.html/x", "/%00", "/" + strings.Repeat("a", 300),
	} {
		if a := s.get("http://site.localhost" + path); a.StatusCode != 404 || strings.Contains(a.text, "SECRET") {
			t.Errorf("%s: %s %q", path, a.Status, a.text)
		}
	}
	if a := s.get("http://site.localhost/inside.html"); a.text != "home" {
		t.Errorf("a link inside the site: %s %q", a.Status, a.text)
	}
}
