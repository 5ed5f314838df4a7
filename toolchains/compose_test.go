package toolchains_test

import (
	"slices"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestPythonAndNodeBuildOneApp(t *testing.T) {
	app := hop3test.BuildApp(t, t.TempDir(), "../tests/apps/python-node", new(toolchains.Python), new(toolchains.Node))
	if !slices.Equal(app.Artifact.Toolchains, []string{"python", "node"}) {
		t.Errorf("Toolchains = %q", app.Artifact.Toolchains)
	}
	app.Serves(t, "Hello from python &amp; node")
}
