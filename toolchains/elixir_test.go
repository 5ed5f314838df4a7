package toolchains_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestElixir(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Elixir), "../tests/apps/elixir", "Hello from elixir, release 1")
}

func TestElixir_Release(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	if err := os.CopyFS(dir, os.DirFS("../tests/apps/elixir")); err != nil {
		t.Fatal(err)
	}
	project, err := os.ReadFile(filepath.Join(dir, "mix.exs"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "mix.exs"), strings.Replace(string(project), "deps: []", "deps: [], releases: [web: []]", 1), 0o644)
	app := hop3test.BuildApp(t, t.TempDir(), dir, new(toolchains.Elixir))
	if command := app.Artifact.Processes[0].Command; command != "_build/prod/rel/web/bin/web start" {
		t.Errorf("it is started by %s", command)
	}
	app.Serves(t, "Hello from elixir, release 1")
}

func TestElixir_HexThatCannotBeInstalled(t *testing.T) {
	t.Setenv("PATH", withProgram(t, "mix", "#!/bin/sh\necho '** (Mix) httpc request failed'\nexit 1\n"))
	err := refusal(t, new(toolchains.Elixir), map[string]string{"mix.exs": "[deps: [{:plug, \"~> 1.15\"}]]\n"})
	if want := "Hex, which Mix needs for the app's packages, cannot be installed: the command `mix local.hex --force` failed"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
}
