package toolchains_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestJava(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.Java), "../tests/apps/java", "Hello from java, release 1")
}

func TestJava_StartsTheJarThatRuns(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "build.gradle"), "", 0o644)
	write(t, filepath.Join(dir, "gradlew"), "#!/bin/sh\necho \"$@\" >> ran\n", 0o755)
	writeJar(t, filepath.Join(dir, "build/libs/app-1.0-plain.jar"), "Main-Class: app.Main")
	writeJar(t, filepath.Join(dir, "build/libs/library-1.0.jar"), "Implementation-Title: a library that is larger than all others")
	writeJar(t, filepath.Join(dir, "build/libs/app-1.0.jar"), "Main-Class: app.Main")
	writeJar(t, filepath.Join(dir, "build/libs/app-1.0-all.jar"), "Main-Class: app.Main\r\nBuilt-By: someone")
	app := hop3test.BuildApp(t, t.TempDir(), dir, new(toolchains.Java))
	if want := "java $JAVA_OPTS -jar 'build/libs/app-1.0-all.jar'"; len(app.Artifact.Processes) != 1 || app.Artifact.Processes[0].Command != want {
		t.Errorf("it offers %+v, want %s", app.Artifact.Processes, want)
	}
	if ran, _ := os.ReadFile(filepath.Join(app.Dir, "ran")); string(ran) != "--version\nbuild -x test --no-daemon --console=plain\n" {
		t.Errorf("the wrapper was run with\n%s", ran)
	}
	writeJar(t, filepath.Join(dir, "build/libs/app-1.0-all.jar"), "Main-Class: org.springframework.boot.loader.launch.JarLauncher\r\nSpring-Boot-Version: 3.3.0")
	app = hop3test.BuildApp(t, t.TempDir(), dir, new(toolchains.Java))
	if command := app.Artifact.Processes[0].Command; !strings.Contains(command, "-Dserver.port=$PORT ") {
		t.Errorf("Spring Boot is started by %s", command)
	}
}

func TestJava_AFailureFailsTheBuild(t *testing.T) {
	for _, c := range []struct{ wrapper, want string }{
		{"#!/bin/sh\nexit 4\n", "the app's own mvnw does not work here: the command `mvnw --version` failed"},
		{"#!/bin/sh\n[ $1 = --version ]\n", "the command `mvnw -B -ntp package -DskipTests` failed"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "pom.xml"), "<project/>", 0o644)
		write(t, filepath.Join(dir, "mvnw"), c.wrapper, 0o755)
		if err := refusalOf(t, new(toolchains.Java), dir); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q does not say %q", err, c.want)
		}
	}
}

func writeJar(t *testing.T, name, manifest string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	archive := zip.NewWriter(f)
	w, err := archive.Create("META-INF/MANIFEST.MF")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("Manifest-Version: 1.0\r\n" + manifest + "\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
}
