package toolchains_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

// TestStrictBuilds builds sources without lockfiles. A strict build must end
// before the runner is asked to install anything; one that is not only warns.
func TestStrictBuilds(t *testing.T) {
	for _, c := range []struct {
		tc    hop3.Toolchain
		files map[string]string
		want  string
	}{
		{new(toolchains.Python), map[string]string{"requirements.txt": "flask\nrich==13.0\n-r more.txt\n", "more.txt": "gunicorn>=20\n"}, "requirements.txt does not pin flask, gunicorn"},
		{new(toolchains.Python), map[string]string{"pyproject.toml": "[project]\nname='x'\nversion='1'\ndependencies=['flask']\n"}, "pyproject.toml does not pin flask"},
		{new(toolchains.Python), map[string]string{"pyproject.toml": "[tool.poetry]\nname='x'\n"}, "neither uv.lock nor poetry.lock"},
		{new(toolchains.Node), map[string]string{"package.json": `{"dependencies": {"ms": "^2"}}`}, "there is no package-lock.json"},
		{new(toolchains.Ruby), map[string]string{"Gemfile": "gem 'rack'\n"}, "there is no Gemfile.lock"},
		{new(toolchains.PHP), map[string]string{"composer.json": `{"require": {"monolog/monolog": "^3"}}`}, "there is no composer.lock"},
		{new(toolchains.Rust), map[string]string{"Cargo.toml": "[package]\nname='x'\nversion='0.1.0'\n", "src/main.rs": "fn main() {}\n"}, "there is no Cargo.lock"},
		{new(toolchains.Elixir), map[string]string{"mix.exs": `[app: :x, deps: [{:jason, "~> 1.4"}]]`}, "there is no mix.lock"},
	} {
		t.Run(c.tc.Name(), func(t *testing.T) {
			t.Parallel()
			_, installed, err := buildOffline(t, c.tc, c.files, true)
			if hop3.CodeOf(err) != hop3.CodeDeploy || !strings.Contains(err.Error(), c.want) {
				t.Errorf("strict: %v, want %q", err, c.want)
			}
			if installed != "" {
				t.Errorf("strict: it ran %s first", installed)
			}
			out, installed, _ := buildOffline(t, c.tc, c.files, false)
			if !strings.Contains(out.String(), "Warning: "+c.want) || installed == "" {
				t.Errorf("not strict: no warning %q, or nothing installed (%s):\n%s", c.want, installed, out)
			}
		})
	}
}

// buildOffline builds a source with a runner that answers questions about
// versions and refuses to install, and returns what was to be installed first.
func buildOffline(t *testing.T, tc hop3.Toolchain, files map[string]string, strict bool) (out *hop3test.Lines, installed string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	out = &hop3test.Lines{}
	r := &offline{Runner: &build.Runner{Dir: dir, Env: hop3.Env{"PATH": os.Getenv("PATH"), "HOME": t.TempDir()}, Out: out}}
	_, err = tc.Build(t.Context(), &hop3.Build{
		App: "app", Source: dir, Cache: t.TempDir(), Out: out, Runner: r,
		Options: hop3.BuildOptions{Strict: strict},
	})
	return out, r.installed, err
}

// offline stands for a network that is not there: what a build would install
// is written down instead.
type offline struct {
	*build.Runner
	installed string
}

func (o *offline) Run(_ context.Context, cmd hop3.Command) error {
	if o.installed == "" {
		o.installed = strings.Join(cmd.Args, " ")
	}
	return hop3.Errorf(hop3.CodeDeploy, "nothing is installed in this test")
}
