package hop3test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

// Toolchain checks that a toolchain keeps the contract of hop3.Toolchain, on
// the sample app in dir, whose front page must contain want. It installs what
// the sample needs for real.
func Toolchain(t *testing.T, tc hop3.Toolchain, dir, want string) {
	t.Run("is a Caddy module of its name", func(t *testing.T) {
		module, ok := tc.(caddy.Module)
		if !ok || string(module.CaddyModule().ID) != "hop3.toolchains."+tc.Name() {
			t.Fatalf("%T is not the module hop3.toolchains.%s", tc, tc.Name())
		}
	})
	t.Run("detects its own sources only", func(t *testing.T) { detects(t, tc, dir) })
	t.Run("ends with its context", func(t *testing.T) { ends(t, tc, dir) })
	t.Run("runs no commands of its own beside the developer's", func(t *testing.T) { prepares(t, tc, dir) })
	t.Run("builds what serves, then again from its cache", func(t *testing.T) {
		cache := t.TempDir()
		for range 2 {
			app := BuildApp(t, cache, dir, tc)
			checkArtifact(t, tc, app)
			app.Serves(t, want)
		}
	})
}

func detects(t *testing.T, tc hop3.Toolchain, dir string) {
	if reason, ok := tc.Detect(fstest.MapFS{}); ok {
		t.Errorf("it detects an empty source (%s)", reason)
	}
	src := os.DirFS(dir)
	reason, ok := tc.Detect(src)
	if f, fallback := tc.(hop3.Fallback); fallback {
		if reason, ok := f.Accept(fstest.MapFS{}, hop3.BuildOptions{}); ok {
			t.Errorf("it accepts an empty source (%s)", reason)
		}
		if _, accepted := f.Accept(src, loadManifest(t, dir).Build); !accepted {
			t.Error("it does not accept the sample")
		}
		return
	}
	if !ok {
		t.Fatal("it does not detect the sample")
	}
	if _, err := fs.Stat(src, reason); err != nil {
		t.Errorf("the reason %q is not a file of the source", reason)
	}
}

func ends(t *testing.T, tc hop3.Toolchain, dir string) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	app := newApp(t, t.TempDir(), dir)
	_, err := app.builder(tc).Build(ctx, app.request())
	if err != nil && hop3.CodeOf(err) != hop3.CodeCanceled && !errors.Is(err, context.Canceled) {
		t.Errorf("a build without time: %v", err)
	}
}

// prepares builds with [build].build: the toolchain makes the ground for the
// commands, here for one that shows what it sees.
func prepares(t *testing.T, tc hop3.Toolchain, dir string) {
	app := newApp(t, t.TempDir(), dir)
	req := app.request()
	req.Options.Toolchain = tc.Name()
	req.Options.Commands = []string{"echo once >> commands.txt"}
	if _, err := app.builder(tc).Build(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(app.Dir, "commands.txt"))
	if err != nil || string(text) != "once\n" {
		t.Errorf("the command left %q (%v), want one line", text, err)
	}
}

func checkArtifact(t *testing.T, tc hop3.Toolchain, app *App) {
	t.Helper()
	a := app.Artifact
	if !slices.Equal(a.Toolchains, []string{tc.Name()}) {
		t.Errorf("Toolchains = %q", a.Toolchains)
	}
	for key, value := range a.Env {
		if err := errors.Join(hop3.ValidateEnvKey(key), hop3.ValidateEnvValue(key, value)); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range a.PathPrepend {
		if !filepath.IsAbs(dir) {
			t.Errorf("PathPrepend has %q, which is not absolute", dir)
		}
	}
	for _, p := range a.Processes {
		if err := hop3.ValidateProcessType(p.Type); err != nil || p.Command == "" {
			t.Errorf("process %+v: %v", p, err)
		}
	}
	for _, entry := range a.Caches {
		if info, err := os.Stat(entry); err != nil || !info.IsDir() || !strings.HasPrefix(entry, app.Cache) {
			t.Errorf("Caches has %q, which is not an entry of the cache (%v)", entry, err)
		}
	}
}
