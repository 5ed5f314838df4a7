package tests

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSamples pushes every sample app, each with its real dependencies from the
// real registries, and asks it over HTTP. They wait for each other's builds as
// those of several developers do.
func TestSamples(t *testing.T) {
	t.Parallel()
	s := startServerWith(t, "APP_START_TIMEOUT=120") // a JVM on a busy machine
	samples, err := os.ReadDir("apps")
	if err != nil || len(samples) < 20 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	says := map[string]string{"python-node": "Hello from python &amp; node"}
	t.Run("push", func(t *testing.T) {
		for _, sample := range samples {
			if sample.Name() == "rust" {
				// Debian's cargo fetches its index from GitHub, out of reach of
				// many test machines. The toolchain's own test builds and asks
				// this sample with whatever cargo there is.
				continue
			}
			t.Run(sample.Name(), func(t *testing.T) {
				t.Parallel()
				want := says[sample.Name()]
				if want == "" {
					want = "Hello from " + sample.Name()
				}
				s.pushSample(t, sample.Name(), want)
			})
		}
	})
	for _, name := range []string{"yarn", "pnpm"} {
		if _, err := os.Stat(filepath.Join(s.home, "apps", name+"-app", "src", "node_modules", "ms")); err == nil {
			t.Errorf("%s: a development dependency was installed", name)
		}
	}
}

// pushSample pushes a sample as an app of its own and checks its first page.
func (s *server) pushSample(t *testing.T, sample, want string) {
	t.Helper()
	app, dir := sample+"-app", filepath.Join(t.TempDir(), sample)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("apps", sample))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "one"}, {"push", s.remote(app), "main"}} {
		if out, err := s.run(dir, "git", args...); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	status, body, err := s.get(ctx, app+".localhost", "/")
	if err != nil || status != http.StatusOK || !strings.Contains(body, want) {
		t.Errorf("it answers %d %q, %v; want %q", status, body, err, want)
	}
}
