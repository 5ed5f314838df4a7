package toolchains_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestClojure(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Clojure), "../tests/apps/clojure", "Hello from clojure, release 1")
}

func TestClojure_ToolsThatAreMissingAreNamed(t *testing.T) {
	t.Setenv("PATH", programsOnly(t, "java", "javac"))
	for file, want := range map[string]string{
		"project.clj": "Leiningen is not installed on this server\nOn Debian and Ubuntu: apt-get install leiningen",
		"deps.edn":    "Clojure's command line tools are not installed on this server\nSee https://clojure.org/guides/install_clojure",
	} {
		if reason, ok := new(toolchains.Clojure).Detect(fileSystem(file)); !ok || reason != file {
			t.Errorf("%s: detected by %q: %v", file, reason, ok)
		}
		if err := refusal(t, new(toolchains.Clojure), map[string]string{file: "{}"}); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// TestClojure_StartsTheJar has a Leiningen that does nothing.
func TestClojure_StartsTheJar(t *testing.T) {
	t.Setenv("PATH", withProgram(t, "lein", "#!/bin/sh\ntrue\n"))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "project.clj"), "", 0o644)
	writeJar(t, filepath.Join(dir, "target/app-1.0.jar"), "")
	writeJar(t, filepath.Join(dir, "target/app-1.0-standalone.jar"), "Main-Class: app.core")
	app := hop3test.BuildApp(t, t.TempDir(), dir, new(toolchains.Clojure))
	if want := "java $JAVA_OPTS -jar 'target/app-1.0-standalone.jar'"; len(app.Artifact.Processes) != 1 || app.Artifact.Processes[0].Command != want {
		t.Errorf("it offers %+v, want %s", app.Artifact.Processes, want)
	}
	t.Setenv("PATH", withProgram(t, "lein", "#!/bin/sh\nfalse\n"))
	if err := refusalOf(t, new(toolchains.Clojure), dir); !strings.Contains(err.Error(), "the command `lein do clean, uberjar` failed") {
		t.Error(err)
	}
}
