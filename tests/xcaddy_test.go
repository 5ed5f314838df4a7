package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/xcaddy"
)

// makefileApp is what the Makefile of the app under test installs.
const makefileApp = `#!/usr/bin/env python3
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"made by make\n")

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

// TestXcaddy builds a Caddy from xcaddy.json with a toolchain and an addon from
// outside of this module, deploys to it an app that only this toolchain can
// build, and gives it such an addon: once run without a configuration, once
// with a Caddyfile.
func TestXcaddy(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the server once more")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "caddy")
	if err := buildWithXcaddy(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "list-modules", "--skip-standard").CombinedOutput()
	if err != nil {
		t.Fatalf("list-modules: %v\n%s", err, out)
	}
	listed := strings.Fields(string(out))
	for _, want := range []string{
		"hop3", "hop3.builders.local", "hop3.proxies.caddy", "hop3.runtimes.native", "http.handlers.hop3_apps", "http.handlers.hop3_rpc",
		"hop3.addons.email", "hop3.addons.memcached", "hop3.addons.s3", "hop3.toolchains.generic", "hop3.toolchains.go", "hop3.toolchains.make", "hop3.toolchains.node", "hop3.toolchains.python", "hop3.toolchains.static",
	} {
		if !slices.Contains(listed, want) {
			t.Errorf("list-modules does not list %s", want)
		}
	}
	caddyfile, err := filepath.Abs("testdata/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("hop3 run", func(t *testing.T) {
		s := startServer(t, binary, "hop3", "run")
		deployMakefile(t, s)
		useMemcached(t, s)
	})
	t.Run("run --config Caddyfile", func(t *testing.T) {
		s := startServer(t, binary, "run", "--config", caddyfile)
		for _, args := range [][]string{
			{"-c", `printf pw-pw-pw-pw | "$0" hop3 admin:create me me@example.com --password-stdin`, binary},
			{"-c", `"$0" hop3 key add me ~/.ssh/id_ed25519.pub`, binary},
		} {
			if _, err := s.run(s.dir, "sh", args...); err != nil {
				t.Fatal(err)
			}
		}
		deployMakefile(t, s)
	})
}

// buildWithXcaddy runs xcaddy's own library on xcaddy.json, with this checkout
// in the place of the released Hop3 and the plug-ins of tests/plugin added.
func buildWithXcaddy(ctx context.Context, output string) error {
	manifest, err := os.ReadFile("../xcaddy.json")
	if err != nil {
		return err
	}
	var b xcaddy.Builder
	if err := json.Unmarshal(manifest, &b); err != nil {
		return fmt.Errorf("xcaddy.json: %w", err)
	}
	checkout, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	b.Replacements = append(b.Replacements, xcaddy.NewReplace(modulePath, checkout))
	for plugin, dir := range map[string]string{"example.com/hop3-make": "", "example.com/hop3-memcached": "memcached"} {
		// With a version, nobody is asked which ones there are.
		b.Plugins = append(b.Plugins, xcaddy.Dependency{PackagePath: plugin, Version: "v0.0.0"})
		b.Replacements = append(b.Replacements, xcaddy.NewReplace(plugin, filepath.Join(checkout, "tests", "plugin", dir)))
	}
	// As the other binary under test is built, so that nothing is compiled
	// twice: xcaddy's own flags would compile all of Caddy anew.
	b.BuildFlags, b.RaceDetector = "-ldflags=-w", true
	return b.Build(ctx, output)
}

// deployMakefile pushes an app that has nothing but a Makefile, and gets it.
func deployMakefile(t *testing.T, s *server) {
	t.Helper()
	dir, err := s.repository("made", map[string]string{
		"Makefile": "app: app.py\n\tinstall -m 755 app.py app\n",
		"app.py":   makefileApp,
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.run(dir, "git", "push", "hop3", "main")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "install -m 755 app.py app") {
		t.Errorf("the push does not show make:\n%s", out)
	}
	if code, body, err := s.get(t.Context(), "made.localhost", "/"); err != nil || body != "made by make\n" {
		t.Errorf("the app answers %d %q, %v", code, body, err)
	}
}

// useMemcached makes an addon of the plug-in's type, gives it to the app that
// deployMakefile has pushed, and destroys it.
func useMemcached(t *testing.T, s *server) {
	t.Helper()
	needsMemcached(t)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ command, want string }{
		{"addon types", "hop3.addons.memcached"},
		{"addon create memcached cache --set memory=8", "created memcached cache"},
		{"addon attach cache --app made", "MEMCACHED_URL"},
		{"addon show cache", "1.6"},
		{"addon memcached stats cache", "curr_items"},
		{"app run --app made -- printenv MEMCACHED_SERVERS", "127.0.0.1:"},
		{"addon detach cache --app made", "detached"},
		{"addon destroy cache --yes", "cache"},
	} {
		out, err := s.run(s.dir, "hop3", strings.Fields(step.command)...)
		if err != nil || !strings.Contains(out, step.want) {
			t.Fatalf("hop3 %s does not show %q: %v\n%s", step.command, step.want, err, out)
		}
	}
}

// needsMemcached skips a test where there is no memcached.
func needsMemcached(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("memcached"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("memcached is not installed; tests/run installs it")
	}
}

// TestPluginAddon runs the tests of the addon in tests/plugin, which are those
// of every provider of addons, as their own module's.
func TestPluginAddon(t *testing.T) {
	t.Parallel() // it mostly waits, for memcached to end
	if testing.Short() {
		t.Skip("it builds a test more")
	}
	needsMemcached(t)
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// A copy, as what it depends on is written down beside it.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("plugin/memcached")); err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": strings.Replace(string(module), "../../..", checkout, 1), "go.sum": string(sums)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-race", "-mod=mod", "-timeout", "10m", ".")
	test.Dir = dir
	if out, err := test.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestDocPlugins holds the code of the guide to that of the plug-in it is of.
func TestDocPlugins(t *testing.T) {
	var code string
	for _, name := range []string{"memcached.go", "memcached_test.go"} {
		text, err := os.ReadFile(filepath.Join("plugin", "memcached", name))
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	for _, block := range docBlocks(t, "docs/plugins.md") {
		if block.kind == "go" && !strings.Contains(code, strings.TrimSpace(block.text)) {
			t.Errorf("docs/plugins.md:%d is not in the plug-in", block.line)
		}
	}
}
