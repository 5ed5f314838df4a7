package sbom

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// purls returns what is found, and fails the test when there are notes.
func purls(t *testing.T, trees ...fs.FS) []string {
	t.Helper()
	packages, notes, err := Read(trees...)
	if err != nil || len(notes) > 0 {
		t.Fatalf("%v, %q", err, notes)
	}
	var out []string
	for _, p := range packages {
		out = append(out, p.PURL())
	}
	return out
}

func want(t *testing.T, got []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(got, wanted) {
		t.Errorf("found are\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(wanted, "\n"))
	}
}

func TestLockFiles(t *testing.T) {
	want(t, purls(t, fstest.MapFS{
		"requirements.txt": file("# a comment\nflask==3.0.2 ; python_version > \"3.8\"\nclick[extra] == 8.1.7 \\\n    --hash=sha256:abc\nnumpy>=1\n"),
		"uv.lock":          file("version = 1\n[[package]]\nname = \"anyio\"\nversion = \"4.3.0\"\nsource = { registry = \"https://pypi.org/simple\" }\n[[package]]\nname = \"me\"\nversion = \"0.1\"\nsource = { editable = \".\" }\n"),
		"Pipfile.lock":     file(`{"default": {"idna": {"version": "==3.6"}}, "develop": {"pytest": {"version": "==8.0"}}}`),
		"Cargo.lock":       file("[[package]]\nname = \"me\"\nversion = \"0.1.0\"\n[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n"),
		"Gemfile.lock":     file("GEM\n  remote: https://rubygems.org/\n  specs:\n    rack (3.0.9)\n      webrick\n\nPATH\n  specs:\n    me (0.1)\n\nDEPENDENCIES\n  rack\n"),
		"composer.lock":    file(`{"packages": [{"name": "monolog/monolog", "version": "3.5.0"}], "packages-dev": [{"name": "a/b", "version": "1"}]}`),
		"mix.lock":         file("%{\n  \"plug\": {:hex, :plug, \"1.15.3\", \"712976\", [:mix]},\n}\n"),
		"go.mod":           file("module me\n\ngo 1.26\n\nrequire github.com/gorilla/mux v1.8.1\n"),
		"yarn.lock":        file("# yarn lockfile v1\n\n\n\"@babel/core@^7.0.0\":\n  version \"7.24.0\"\n\nleft-pad@1.x:\n  version \"1.3.0\"\n"),
		"a/pnpm-lock.yaml": file("lockfileVersion: '9.0'\npackages:\n  '@scope/thing@2.0.0(peer@1.0.0)':\n    resolution: {integrity: x}\n  ms@2.1.3:\n    resolution: {integrity: x}\n"),
		"b/package-lock.json": file(`{"lockfileVersion": 3, "packages": {"": {"name": "me", "version": "1.0.0"}, "node_modules/express": {"version": "4.18.3"},
			"node_modules/mocha": {"version": "10.0.0", "dev": true}}}`),
	}),
		"pkg:cargo/serde@1.0.1", "pkg:composer/monolog/monolog@3.5.0", "pkg:gem/rack@3.0.9", "pkg:golang/github.com/gorilla/mux@v1.8.1", "pkg:hex/plug@1.15.3",
		"pkg:npm/%40babel/core@7.24.0", "pkg:npm/%40scope/thing@2.0.0", "pkg:npm/express@4.18.3", "pkg:npm/left-pad@1.3.0", "pkg:npm/ms@2.1.3",
		"pkg:pypi/anyio@4.3.0", "pkg:pypi/click@8.1.7", "pkg:pypi/flask@3.0.2", "pkg:pypi/idna@3.6",
	)
}

// What is installed is what a release contains, whatever its lock files say.
func TestInstalled(t *testing.T) {
	release := fstest.MapFS{
		"requirements.txt":                       file("flask==2.0\nnot-installed==1.0\n"),
		"package-lock.json":                      file(`{"packages": {"node_modules/express": {"version": "3.0.0"}}}`),
		"node_modules/.package-lock.json":        file(`{"packages": {"node_modules/express": {"version": "4.18.3"}}}`),
		"node_modules/express/package-lock.json": file(`not even JSON`),
		"web/node_modules/ms/package.json":       file(`{"name": "ms", "version": "2.1.3"}`),
		"web/node_modules/@a/b/package.json":     file(`{"name": "@a/b", "version": "1.0.0"}`),
		"vendor/composer/installed.json":         file(`{"packages": [{"name": "a/b", "version": "1.0"}]}`),
		"out/app.deps.json":                      file(`{"libraries": {"app/1.0": {"type": "project"}, "Serilog/3.1.1": {"type": "package"}}}`),
		"target/app.jar":                         {Data: fatJar(t)},
	}
	venv := fstest.MapFS{
		"lib/python3.11/site-packages/flask-3.0.2.dist-info/METADATA": file("Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.2\n\nLong words\n"),
		"lib/python3.11/site-packages/flask/requirements.txt":         file("hidden==1.0\n"),
	}
	want(t, purls(t, release, venv),
		"pkg:composer/a/b@1.0", "pkg:maven/com.example/inner@2.0", "pkg:maven/com.example/outer@1.0", "pkg:npm/%40a/b@1.0.0", "pkg:npm/express@4.18.3",
		"pkg:npm/ms@2.1.3", "pkg:nuget/Serilog@3.1.1", "pkg:pypi/flask@3.0.2")
}

func zipped(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func fatJar(t *testing.T) []byte {
	pom := func(artifact, version string) []byte {
		return []byte("#made by Maven\nversion=" + version + "\ngroupId=com.example\nartifactId=" + artifact + "\n")
	}
	inner := zipped(t, map[string][]byte{"META-INF/maven/com.example/inner/pom.properties": pom("inner", "2.0")})
	return zipped(t, map[string][]byte{"META-INF/maven/com.example/outer/pom.properties": pom("outer", "1.0"), "BOOT-INF/lib/inner-2.0.jar": inner})
}

// A program of Go says itself what it was built of; this one is one.
func TestAProgramOfGo(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Link(self, filepath.Join(dir, "app")); err != nil {
		content, readErr := os.ReadFile(self) // on another disk
		if readErr != nil {
			t.Fatal(err, readErr)
		}
		if err := os.WriteFile(filepath.Join(dir, "app"), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The modules of a program under test are not told by it.
	want(t, purls(t, os.DirFS(dir)), "pkg:golang/stdlib@"+strings.TrimPrefix(runtime.Version(), "go"))
}

// The files are those of a stranger: what is no lock file is left out, and said.
func TestHostileFiles(t *testing.T) {
	packages, notes, err := Read(fstest.MapFS{
		"package-lock.json":                  file(`{"packages": [`),
		"uv.lock":                            file("\x00\xff"),
		"pnpm-lock.yaml":                     file("a: &a [*a, *a]\npackages: 3"),
		"x.jar":                              file("PK no zip"),
		"x.deps.json":                        file("[]"),
		"Cargo.lock":                         file("package = 7"),
		"site-packages/x.dist-info/METADATA": file("no header"),
		"node_modules/x/package.json":        file(`{"name": 7}`),
		"ok/composer.lock":                   file(`{"packages": [{"name": "a/b", "version": "1"}, {"name": "", "version": ""}]}`),
	})
	if err != nil || len(packages) != 1 || len(notes) < 6 {
		t.Errorf("%v, %v\n%s", err, packages, strings.Join(notes, "\n"))
	}
}

func TestCycloneDX(t *testing.T) {
	text, err := CycloneDX(Subject{App: "blog", Version: "v3", Commit: "abc", Toolchains: []string{"python"}, Made: time.Unix(0, 0), Server: "1"},
		[]Package{{Type: "npm", Namespace: "@a", Name: "b", Version: "1.0", File: "package-lock.json"}}, []string{"x: no"})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		BOMFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ PURL, Group, Name, Version string }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.BOMFormat != "CycloneDX" || doc.SpecVersion != "1.6" || doc.Metadata.Component.Name != "blog" || len(doc.Components) != 1 || doc.Components[0].PURL != "pkg:npm/%40a/b@1.0" {
		t.Errorf("%s", text)
	}
	again, err := CycloneDX(Subject{App: "blog", Version: "v3", Commit: "abc", Toolchains: []string{"python"}, Made: time.Unix(0, 0), Server: "1"},
		[]Package{{Type: "npm", Namespace: "@a", Name: "b", Version: "1.0", File: "package-lock.json"}}, []string{"x: no"})
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("the second time it is %s, %v", again, err)
	}
}
