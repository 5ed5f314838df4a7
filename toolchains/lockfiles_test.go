package toolchains_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestLockfilesOfOtherPackageManagers(t *testing.T) {
	for _, name := range []string{"poetry", "yarn", "pnpm"} {
		t.Run(name, func(t *testing.T) {
			app := hop3test.BuildApp(t, t.TempDir(), "../tests/apps/"+name, new(toolchains.Python), new(toolchains.Node))
			app.Serves(t, "Hello from "+name)
			if _, err := os.Stat(filepath.Join(app.Dir, "node_modules", "ms")); err == nil {
				t.Error("a development dependency was installed")
			}
		})
	}
}

func TestGo_CmdLayout(t *testing.T) {
	app := hop3test.BuildApp(t, t.TempDir(), "../tests/apps/cmd-layout", new(toolchains.Go))
	app.Serves(t, "Hello from cmd-layout")
	if _, err := os.Stat(filepath.Join(app.Dir, "bin", "worker")); err != nil {
		t.Error(err)
	}
}
