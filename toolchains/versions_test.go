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
	return refusalOf(t, tc, dir)
}

// refusalOf is the error that the source in dir must meet.
func refusalOf(t *testing.T, tc hop3.Toolchain, dir string) error {
	t.Helper()
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
		{new(toolchains.Ruby), map[string]string{"Gemfile": "ruby '~> 9.9'\n"}, "the Gemfile asks for Ruby ~> 9.9; this server has "},
		{new(toolchains.Ruby), map[string]string{"Gemfile": "", ".ruby-version": "ruby-9.9.1\n"}, "Install Ruby 9.9.1 on the server, or change .ruby-version."},
		{new(toolchains.Ruby), map[string]string{"Gemfile": "", ".tool-versions": "nodejs 20\nruby 9.9\n"}, "the app asks for Ruby 9.9 (.tool-versions)"},
		{new(toolchains.PHP), map[string]string{"composer.json": `{"require": {"php": "^9.9"}}`}, "composer.json asks for PHP ^9.9; this server has "},
		{new(toolchains.PHP), map[string]string{"composer.json": `{"require": {"ext-nothing": "*"}}`}, "apt-get install php-nothing"},
		{new(toolchains.PHP), map[string]string{"composer.json": "{"}, "composer.json is not valid"},
		{new(toolchains.PHP), map[string]string{"index.php": "", ".php-version": "9.9"}, "the app asks for PHP 9.9 (.php-version)"},
		{new(toolchains.Rust), map[string]string{"Cargo.toml": "[package]\nname='x'\nrust-version='9.9'\n"}, "Cargo.toml asks for Rust 9.9; this server has "},
		{new(toolchains.Rust), map[string]string{"Cargo.toml": "", "rust-toolchain.toml": "[toolchain]\nchannel='9.9'\n"}, "the app asks for Rust 9.9 (rust-toolchain.toml)"},
		{new(toolchains.Rust), map[string]string{"Cargo.toml": "", "rust-toolchain": "9.9\n"}, "the app asks for Rust 9.9 (rust-toolchain)"},
		{new(toolchains.Java), map[string]string{"pom.xml": "", "system.properties": "java.runtime.version=99\n"}, "apt-get install openjdk-99-jdk-headless"},
		{new(toolchains.Java), map[string]string{"build.gradle": "", ".java-version": "temurin-99.0.2"}, "the app asks for Java 99.0.2 (.java-version); this server has "},
		{new(toolchains.Elixir), map[string]string{"mix.exs": "[app: :x,\n elixir: \"~> 9.9\"]"}, "mix.exs asks for Elixir ~> 9.9; this server has "},
		{new(toolchains.Elixir), map[string]string{"mix.exs": "", ".tool-versions": "erlang 26\nelixir 9.9.1-otp-26\n"}, "the app asks for Elixir 9.9.1 (.tool-versions)"},
		{new(toolchains.Node), map[string]string{"package.json": "{"}, "package.json is not valid"},
	} {
		if err := refusal(t, c.tc, c.files); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q does not say %q", c.tc.Name(), err, c.want)
		}
	}
}

func TestALanguageThatIsMissingIsNamed(t *testing.T) {
	nothing, phpAlone := programsOnly(t), programsOnly(t, "php")
	t.Setenv("PATH", nothing)
	for _, c := range []struct {
		tc         hop3.Toolchain
		file, want string
	}{
		{new(toolchains.Ruby), "Gemfile", "Ruby with Bundler is not installed on this server\nOn Debian and Ubuntu: apt-get install ruby-full ruby-bundler"},
		{new(toolchains.PHP), "index.php", "PHP is not installed on this server\nOn Debian and Ubuntu: apt-get install php-cli"},
		{new(toolchains.Elixir), "mix.exs", "Elixir is not installed on this server\nOn Debian and Ubuntu: apt-get install elixir"},
	} {
		if err := refusal(t, c.tc, map[string]string{c.file: ""}); err.Error() != c.want {
			t.Errorf("%s: %q, want %q", c.tc.Name(), err, c.want)
		}
	}
	t.Setenv("PATH", phpAlone)
	if err := refusal(t, new(toolchains.PHP), map[string]string{"composer.json": "{}"}); !strings.Contains(err.Error(), "apt-get install composer") {
		t.Error(err)
	}
	t.Setenv("PATH", nothing)
	if err := refusal(t, new(toolchains.Java), map[string]string{"pom.xml": ""}); !strings.Contains(err.Error(), "apt-get install maven") {
		t.Error(err)
	}
	if err := refusal(t, new(toolchains.Java), map[string]string{"build.gradle.kts": ""}); !strings.Contains(err.Error(), "apt-get install gradle") {
		t.Error(err)
	}
}
