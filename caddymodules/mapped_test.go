package caddymodules

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestFilesBeforeTheApp(t *testing.T) {
	s := startServer(t)
	release, volume, outside := t.TempDir(), t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"static/a.css": "body{}", "static/.env": "SECRET", "static/page.html": "page", "static/docs/index.html": "docs", "static/bare/x": "x",
		"static/admin/deep.css": "shadowed", "admin/assets/deep.css": "deep", ".output/public/app.js": "js", "favicon.ico": "icon", "hop3.toml": "SECRET", "secret.txt": "SECRET",
	} {
		put(t, filepath.Join(release, name), text)
	}
	put(t, filepath.Join(volume, "up.png"), "png")
	put(t, filepath.Join(outside, "key"), "SECRET")
	for link, target := range map[string]string{"static/out": outside, "static/up": "../secret.txt", "static/abs.txt": filepath.Join(outside, "key")} {
		if err := os.Symlink(target, filepath.Join(release, link)); err != nil {
			t.Fatal(err)
		}
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("App", "yes")
		_, _ = w.Write([]byte("app " + r.Method + " " + r.URL.Path))
	}))
	defer app.Close()
	at := func(prefix, root, path string) hop3.StaticPath {
		return hop3.StaticPath{Prefix: prefix, Root: root, Path: path}
	}
	s.set(hop3.Route{App: "site", Release: 1, Hosts: []string{"site.localhost"}, Upstreams: []string{strings.TrimPrefix(app.URL, "http://")}, Static: []hop3.StaticPath{
		at("/static/admin", release, "admin/assets"), at("/favicon.ico", release, "favicon.ico"),
		at("/_nuxt", release, ".output/public"), at("/static", release, "static"), at("/media", volume, "."), at("/gone", release, "gone"),
	}})
	for path, want := range map[string]string{
		"/static/a.css":          "body{}",
		"/static/a.css?v=1":      "body{}",
		"/static/page":           "page",
		"/static/docs/":          "docs",
		"/static/docs":           "-> /static/docs/",
		"/static/docs?x=y":       "-> /static/docs/?x=y",
		"/static/admin/deep.css": "deep", // the longest prefix wins
		"/static/admin/a.css":    "app GET /static/admin/a.css",
		"/favicon.ico":           "icon",
		"/favicon.ico/x":         "app GET /favicon.ico/x",
		"/_nuxt/app.js":          "js",
		"/media/up.png":          "png",
		"/media/none.png":        "app GET /media/none.png",
		"/gone/x":                "app GET /gone/x",
		"/staticx/a.css":         "app GET /staticx/a.css",
		"/static/bare/":          "app GET /static/bare/",
		"/":                      "app GET /",
		"/static":                "app GET /static",
		// Nothing leads out, and what is hidden is not there.
		"/static/.env":              "app GET /static/.env",
		"/static/out/key":           "app GET /static/out/key",
		"/static/abs.txt":           "app GET /static/abs.txt",
		"/static/%2e%2e/secret.txt": "app GET /static/../secret.txt",
		"/static/..%2fhop3.toml":    "app GET /static/../hop3.toml",
		"/static/%00":               "app GET /static/\x00",
	} {
		a := s.get("http://site.localhost" + path)
		got := a.text
		if a.StatusCode == http.StatusPermanentRedirect {
			got = "-> " + a.Header.Get("Location")
		}
		if got != want || strings.Contains(got, "SECRET") {
			t.Errorf("%s: %s %q, want %q", path, a.Status, got, want)
		}
	}
	a := s.get("http://site.localhost/static/a.css")
	if a.Header.Get("Etag") == "" || a.Header.Get("App") != "" {
		t.Errorf("headers: %v", a.Header)
	}
	if again := s.get("http://site.localhost/static/a.css", "If-None-Match", a.Header.Get("Etag")); again.StatusCode != 304 {
		t.Errorf("with its ETag: %s", again.Status)
	}
	if part := s.get("http://site.localhost/static/a.css", "Range", "bytes=0-3"); part.StatusCode != 206 || part.text != "body" {
		t.Errorf("a range: %s %q", part.Status, part.text)
	}
	if post := s.do("POST", "http://site.localhost/static/a.css", "x"); post.text != "app POST /static/a.css" {
		t.Errorf("POST: %s %q", post.Status, post.text)
	}

	s.set(hop3.Route{App: "site", Release: 2, Hosts: []string{"site.localhost"}, Upstreams: []string{strings.TrimPrefix(app.URL, "http://")}, Static: []hop3.StaticPath{at("/", release, "static")}})
	for path, want := range map[string]string{"/a.css": "body{}", "/docs": "-> /docs/", "/": "app GET /", "/other": "app GET /other"} {
		a := s.get("http://site.localhost" + path)
		got := a.text
		if a.StatusCode == http.StatusPermanentRedirect {
			got = "-> " + a.Header.Get("Location")
		}
		if got != want {
			t.Errorf("%s: %s %q, want %q", path, a.Status, got, want)
		}
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
