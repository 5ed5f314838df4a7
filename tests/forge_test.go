package tests

import (
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdForge serves the bare repositories of a directory over HTTP, as a git host
// does, and puts its address into $FORGE. Below /private it wants the password
// s3cret.
func cmdForge(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: forge <directory>")
	}
	git, err := exec.LookPath("git")
	ts.Check(err)
	backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Stderr: io.Discard, Env: []string{
		"GIT_PROJECT_ROOT=" + ts.MkAbs(args[0]), "GIT_HTTP_EXPORT_ALL=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}}
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	mux.HandleFunc("/private/", func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "s3cret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		http.StripPrefix("/private", backend).ServeHTTP(w, r)
	})
	s := httptest.NewServer(mux)
	ts.Defer(s.Close)
	ts.Setenv("FORGE", s.URL)
}
