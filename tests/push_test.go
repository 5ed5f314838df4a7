package tests

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// fileApp serves its file "version".
var fileApp = map[string]string{
	"Procfile": "web: python3 app.py\n",
	"version":  "1\n",
	"app.py": `import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open("version", "rb").read())

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`,
}

// TestEightPushesAtOnce pushes eight apps at the same time: all go live.
func TestEightPushesAtOnce(t *testing.T) {
	s := startServer(t)
	var all sync.WaitGroup
	for i := range 8 {
		app := fmt.Sprintf("app-%d", i)
		dir, err := s.repository(app, fileApp)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 8 {
		code, body, err := s.get(t.Context(), fmt.Sprintf("app-%d.localhost", i), "/")
		if err != nil || code != 200 || body != "1\n" {
			t.Errorf("app-%d answers %d %q, %v", i, code, body, err)
		}
	}
}

// TestEightPushesToOneBranch pushes eight different commits to one branch at
// the same time: one is accepted, and that one serves.
func TestEightPushesToOneBranch(t *testing.T) {
	s := startServer(t)
	dir, err := s.repository("crowd", fileApp)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	var clones []string
	for i := range 8 {
		clone := fmt.Sprintf("%s/clone%d", s.dir, i)
		if _, err := s.run(s.dir, "git", "clone", "-q", s.remote("crowd"), clone); err != nil {
			t.Fatal(err)
		}
		if err := s.commit(clone, map[string]string{"version": fmt.Sprintf("from %d\n", i)}); err != nil {
			t.Fatal(err)
		}
		clones = append(clones, clone)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var accepted []int
	for i, clone := range clones {
		all.Go(func() {
			if _, err := s.run(clone, "git", "push", "origin", "main"); err == nil {
				mu.Lock()
				defer mu.Unlock()
				accepted = append(accepted, i)
			}
		})
	}
	all.Wait()
	if len(accepted) != 1 {
		t.Fatalf("%d pushes were accepted: %v", len(accepted), accepted)
	}
	want := fmt.Sprintf("from %d", accepted[0])
	if _, body, err := s.get(t.Context(), "crowd.localhost", "/"); err != nil || strings.TrimSpace(body) != want {
		t.Errorf("serves %q, want %q: %v", body, want, err)
	}
	out, err := s.run(dir, "git", "-C", s.home+"/apps/crowd/git", "show", "main:version")
	if err != nil || strings.TrimSpace(out) != want {
		t.Errorf("the branch has %q, want %q: %v", out, want, err)
	}
	if _, err := s.run(dir, "git", "-C", s.home+"/apps/crowd/git", "fsck", "--full", "--strict"); err != nil {
		t.Error(err)
	}
}
