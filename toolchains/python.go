package toolchains

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Python))
}

// Python builds apps with a requirements.txt, a pyproject.toml, a uv.lock or a
// poetry.lock, each in a virtual environment that releases with the same locks
// share.
type Python struct {
	programs programs
}

// CaddyModule describes the module.
func (*Python) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.python", New: func() caddy.Module { return new(Python) }}
}

// Name returns "python".
func (*Python) Name() string { return "python" }

// Detect looks for the files that list an app's packages.
func (*Python) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "uv.lock", "poetry.lock", "requirements.txt", "pyproject.toml", "Pipfile.lock", "Pipfile")
}

// Build installs the app's packages, and collects Django's static files.
func (p *Python) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	interpreter, err := p.interpreter(ctx, b, src)
	if err != nil {
		return hop3.Artifact{}, err
	}
	start, err := findStart(b, src)
	if err != nil {
		return hop3.Artifact{}, err
	}
	py := &pythonBuild{Build: b, src: src, interpreter: interpreter, start: start}
	if err := py.install(ctx); err != nil {
		return hop3.Artifact{}, err
	}
	artifact := hop3.Artifact{
		Toolchains:  []string{p.Name()},
		Env:         py.env(),
		PathPrepend: py.path(),
		Processes:   py.processes(),
	}
	if py.cached {
		artifact.Caches = []string{py.venv}
	}
	if len(b.Options.Commands) == 0 {
		err = py.collectStatic(ctx, artifact)
	}
	return artifact, err
}

// pythonBuild is one build of a Python app.
type pythonBuild struct {
	*hop3.Build
	src         fs.FS
	interpreter interpreter
	start       pythonStart
	venv        string // its directory
	cached      bool   // venv is an entry of the cache
	site        bool   // the app itself is installed, in siteDir
	uv          string // the uv program, when it made the venv
}

// hop3Dir is what a build keeps in the release beside the app's own files.
func (py *pythonBuild) hop3Dir() string { return filepath.Join(py.Source, ".hop3") }

func (py *pythonBuild) siteDir() string { return filepath.Join(py.hop3Dir(), "site") }

func (py *pythonBuild) bin(program string) string { return filepath.Join(py.venv, "bin", program) }

func (py *pythonBuild) path() []string {
	path := []string{filepath.Join(py.venv, "bin")}
	if py.site {
		path = slices.Insert(path, 0, filepath.Join(py.siteDir(), "bin"))
	}
	return path
}

func (py *pythonBuild) env() hop3.Env {
	env := hop3.Env{
		"PYTHONUNBUFFERED": "1",
		"PYTHONIOENCODING": "UTF_8:replace",
		"VIRTUAL_ENV":      py.venv,
	}
	var modules []string
	if py.site {
		modules = append(modules, py.siteDir())
	}
	if hasDir(py.src, "src") {
		modules = append(modules, filepath.Join(py.Source, "src"))
	}
	if own := py.Env["PYTHONPATH"]; own != "" && len(modules) > 0 {
		modules = append(modules, own)
	}
	if len(modules) > 0 {
		env["PYTHONPATH"] = joinPath(modules)
	}
	return env
}

var (
	_ hop3.Toolchain = (*Python)(nil)
	_ caddy.Module   = (*Python)(nil)
)
