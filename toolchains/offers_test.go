package toolchains_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
)

// offer is what a toolchain must offer to an app that declares a process.
type offer struct{ declared, want string }

// offers builds a copy of the app in dir, with the developer's own commands,
// for each of the declared processes.
func offers(t *testing.T, tc hop3.Toolchain, dir string, offers []offer) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.CopyFS(source, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, o := range offers {
		b := &hop3.Build{
			App: "app", Source: source, Cache: t.TempDir(), Out: hop3.Discard,
			Runner:  &build.Runner{Dir: source, Env: hop3.Env{"PATH": os.Getenv("PATH"), "HOME": t.TempDir()}, Out: hop3.Discard},
			Options: hop3.BuildOptions{Commands: []string{"make"}},
		}
		if name, command, ok := strings.Cut(o.declared, ": "); ok {
			b.Options.Processes = []hop3.Process{{Type: name, Command: command, Count: 1}}
		}
		a, err := tc.Build(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range a.Processes {
			got = append(got, p.Type+": "+p.Module+": "+p.Command)
		}
		if text := strings.Join(got, "\n"); text != o.want {
			t.Errorf("%s, with %q declared: it offers\n%s\nwant\n%s", tc.Name(), o.declared, text, o.want)
		}
	}
}

// fileSystem has one file.
func fileSystem(name string) fs.FS { return fstest.MapFS{name: {}} }

// programsOnly returns a PATH with these of the machine's programs alone.
func programsOnly(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		file, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(file, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// withProgram returns a PATH that has a program of this text first.
func withProgram(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, name), text, 0o755)
	return dir + ":" + os.Getenv("PATH")
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
