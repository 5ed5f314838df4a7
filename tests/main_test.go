// Package tests has the stories: the real binary, a real git client, real
// HTTP, from the outside.
package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaries is the directory of the programs under test: hop3, and hop3-server,
// which is the same one by its other name.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if binaries = os.Getenv(givenBinaries); binaries != "" {
		return m.Run() // a test that runs itself again
	}
	dir, err := os.MkdirTemp("", "hop3-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	build := exec.Command("go", "build", "-race", "-o", filepath.Join(dir, "hop3"), "../cmd/hop3")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building hop3:", err)
		return 1
	}
	if err := os.Symlink("hop3", filepath.Join(dir, "hop3-server")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
