package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/hop3/hop3test"
)

// checked is what the check of a source says, and its warnings.
func checked(t *testing.T, files map[string]string, change func(*hop3.BuildRequest)) (warnings string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var lines hop3test.Lines
	req := hop3.BuildRequest{App: "shop", Build: 3, Source: dir, LogFile: filepath.Join(t.TempDir(), "log"), Out: &lines}
	change(&req)
	job, err := build.Begin(req, "docker", build.Place{})
	if err != nil {
		t.Fatal(err)
	}
	i := &imaging{builder: &Builder{}, request: req, job: job}
	err = job.End(i.check())
	return lines.String(), err
}

func TestCheck(t *testing.T) {
	base := map[string]string{"Dockerfile": "FROM debian:12\n"}
	nothing := func(*hop3.BuildRequest) {}
	for _, c := range []struct {
		name           string
		files          map[string]string
		change         func(*hop3.BuildRequest)
		warning, error string
	}{
		{"an image that may change", base, nothing, "the Dockerfile builds on debian:12, which may be another image tomorrow", ""},
		{"strictly", base, func(r *hop3.BuildRequest) { r.Options.Strict = true }, "", "[build] strict = true refuses that"},
		{"an image by its digest", base, func(r *hop3.BuildRequest) {
			r.Options.Strict, r.Options.Docker.Image = true, "nginx@sha256:0123"
		}, "", ""},
		{"an image by its name, strictly", nil, func(r *hop3.BuildRequest) { r.Options.Strict, r.Options.Docker.Image = true, "nginx" }, "", "[docker].image names nginx"},
		{"no Dockerfile", map[string]string{"x": ""}, nothing, "", "its source has no Dockerfile"},
		{"a toolchain besides", base, func(r *hop3.BuildRequest) { r.Options.Toolchain = "go" }, "[build].toolchain has no effect", ""},
		{"commands besides", base, func(r *hop3.BuildRequest) { r.Before = []string{"make"} }, "before-build has no effect", ""},
		{"what uWSGI would load", base, func(r *hop3.BuildRequest) {
			r.Options.Processes = []hop3.Process{{Type: hop3.ProcessWSGI, Command: "app:app"}}
		}, "", "the process type wsgi"},
		{"several services", map[string]string{"Dockerfile": "FROM scratch\n", "compose.yml": "services: {a: {}, b: {}}"}, nothing, "", "compose.yml has several services (a, b)"},
		{"one service", map[string]string{"Dockerfile": "FROM scratch\n", "compose.yml": "services: {a: {}}"}, nothing, "compose.yml is not used", ""},
		{"services of no interest", map[string]string{"Dockerfile": "FROM scratch\n", "compose.yml": "services: {a: {}, b: {}}"},
			func(r *hop3.BuildRequest) { r.Options.Docker.IgnoreCompose = true }, "", ""},
	} {
		warnings, err := checked(t, c.files, c.change)
		if c.warning == "" && warnings != "" || !strings.Contains(warnings, c.warning) {
			t.Errorf("%s: the warnings are %q", c.name, warnings)
		}
		if (err == nil) != (c.error == "") || err != nil && !strings.Contains(err.Error(), c.error) {
			t.Errorf("%s: the error is %v", c.name, err)
		}
	}
}

// What the program docker reads with the server's rights is no link to a file
// of the server's.
func TestCheck_Links(t *testing.T) {
	for _, name := range []string{"Dockerfile", ".dockerignore", "Dockerfile.dockerignore"} {
		files := map[string]string{"Dockerfile": "FROM scratch\n"}
		delete(files, name)
		_, err := checked(t, files, func(r *hop3.BuildRequest) {
			if err := os.Symlink("/etc/shadow", filepath.Join(r.Source, name)); err != nil {
				t.Fatal(err)
			}
		})
		if err == nil || !strings.Contains(err.Error(), name+" is not a file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
