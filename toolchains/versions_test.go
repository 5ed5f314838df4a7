package toolchains_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/toolchains"
)

// refusal builds a source made of files and returns the error it must meet.
func refusal(t *testing.T, tc hop3.Toolchain, files map[string]string) error {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := hop3.Discard
	_, err := tc.Build(t.Context(), &hop3.Build{
		App: "app", Source: dir, Cache: t.TempDir(), Out: out,
		Runner: &build.Runner{Dir: dir, Env: hop3.Env{"PATH": os.Getenv("PATH"), "HOME": t.TempDir()}, Out: out},
	})
	if hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Fatalf("got %v, want an error of the app", err)
	}
	return err
}

func TestAVersionThatIsMissingIsNamed(t *testing.T) {
	for _, c := range []struct {
		tc    hop3.Toolchain
		files map[string]string
		want  string
	}{
		{new(toolchains.Python), map[string]string{"requirements.txt": "", ".python-version": "3.99\n"}, "Python 3.99 (.python-version)"},
		{new(toolchains.Python), map[string]string{"requirements.txt": "", "runtime.txt": "python-3.98.1"}, "apt-get install python3.98"},
		{new(toolchains.Python), map[string]string{"pyproject.toml": "[project]\nname='x'\nversion='1'\nrequires-python='>=3.99'\n"}, "requires Python >=3.99"},
		{new(toolchains.Go), map[string]string{"go.mod": "module x\n\ngo 1.999\n"}, "go.mod asks for Go 1.999"},
		{new(toolchains.Go), map[string]string{"go.mod": "module x\n\ngo 1.20\n"}, "no program to build"},
		{new(toolchains.Node), map[string]string{"package.json": "{"}, "package.json is not valid"},
	} {
		if err := refusal(t, c.tc, c.files); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q does not say %q", c.tc.Name(), err, c.want)
		}
	}
}
