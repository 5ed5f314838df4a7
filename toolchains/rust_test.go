package toolchains_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestRust(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Rust), "../tests/apps/rust", "Hello from rust, release 1")
}

func TestRust_StartsTheDefaultOfSeveralPrograms(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	const manifest = "[package]\nname = 'shop'\nversion = '1.0.0'\nedition = '2021'\n"
	write(t, filepath.Join(dir, "Cargo.toml"), manifest+"default-run = 'shop'\n", 0o644)
	write(t, filepath.Join(dir, "src", "main.rs"), "fn main() {}\n", 0o644)
	write(t, filepath.Join(dir, "src", "bin", "worker.rs"), "fn main() {}\n", 0o644)
	app := hop3test.BuildApp(t, t.TempDir(), dir, new(toolchains.Rust))
	if len(app.Artifact.Processes) != 1 || app.Artifact.Processes[0].Command != "shop" {
		t.Errorf("it offers %+v", app.Artifact.Processes)
	}
	if _, err := os.Stat(filepath.Join(app.Dir, "target", "release", "worker")); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(dir, "src", "main.rs"), "fn main() { nothing }\n", 0o644)
	if err := refusalOf(t, new(toolchains.Rust), dir); !strings.Contains(err.Error(), "the command `cargo build --release` failed") {
		t.Error(err)
	}
}
