package tests

import (
	"os"
	"strings"
	"testing"
)

// TestTheTUI lets the unmodified client of the released hop3-tui talk to the
// server. HOP3_PYTHON_TUI is a Python that has it; tests/run installs it.
func TestTheTUI(t *testing.T) {
	python := os.Getenv("HOP3_PYTHON_TUI")
	if python == "" {
		t.Skip("HOP3_PYTHON_TUI is not set")
	}
	s := startServer(t)
	dir, err := s.repository("blog", map[string]string{
		"Procfile": "web: sh -c 'echo hello from the app; exec python3 -m http.server --bind 127.0.0.1 $PORT'\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	token, err := s.run(s.dir, "hop3", "admin:token", "me")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/tui.py")
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "TOKEN="+strings.TrimSpace(token))
	if _, err := s.run(s.dir, python, "-c", string(script)); err != nil {
		t.Fatal(err)
	}
}
