package toolchains_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

// TestVite builds pages of an index.html that is none itself.
func TestVite(t *testing.T) {
	app := hop3test.BuildApp(t, t.TempDir(), "../tests/apps/vite", new(toolchains.Node))
	if app.Artifact.StaticRoot != "dist" || len(app.Artifact.Processes) > 0 {
		t.Errorf("the artifact is %+v", app.Artifact)
	}
	page, err := os.ReadFile(filepath.Join(app.Dir, "dist", "index.html"))
	if err != nil || !strings.Contains(string(page), "Hello from vite") || !strings.Contains(string(page), "/assets/index-") {
		t.Errorf("the page is %q, %v", page, err)
	}
}

func TestLocksThatCannotBeUsedAreNamed(t *testing.T) {
	for _, c := range []struct {
		tc    hop3.Toolchain
		files map[string]string
		want  string
	}{
		{new(toolchains.Node), map[string]string{"package.json": "{}", "bun.lock": ""}, "the app's packages are locked for Bun (bun.lock), which this server does not build with\nCommit a package-lock.json"},
		{new(toolchains.Node), map[string]string{"package.json": "{}", "bun.lockb": "\x00"}, "locked for Bun (bun.lockb)"},
		{new(toolchains.Python), map[string]string{"app.py": "", "Pipfile": "[packages]\n"}, "there is a Pipfile and no Pipfile.lock\nRun `pipenv lock`"},
		{new(toolchains.Python), map[string]string{"app.py": "", "Pipfile.lock": "{"}, "Pipfile.lock is not valid"},
		{new(toolchains.Python), map[string]string{"app.py": "", "Pipfile.lock": `{"default": {"a": {"version": "==1\n-e /"}}}`}, "has a line break in it"},
	} {
		if err := refusal(t, c.tc, c.files); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, want %q", err, c.want)
		}
	}
}

func TestGo_CmdLayout(t *testing.T) {
	app := hop3test.BuildApp(t, t.TempDir(), "../tests/apps/cmd-layout", new(toolchains.Go))
	app.Serves(t, "Hello from cmd-layout")
	if _, err := os.Stat(filepath.Join(app.Dir, "bin", "worker")); err != nil {
		t.Error(err)
	}
}
