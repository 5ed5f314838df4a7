package toolchains

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/abilian/hop3/hop3"
)

// What Hop3 itself installs is pinned, so that the same source gives the same
// release.
const (
	gunicorn = "gunicorn==23.0.0"
	uvTool   = "uv>=0.8,<1"
	poetry   = "poetry>=2,<3"

	poetryExport = "poetry-plugin-export>=1.9,<2"
)

// install makes the virtual environment, or finds the one an earlier release
// with the same locks made.
func (py *pythonBuild) install(ctx context.Context) error {
	p, err := py.plan(ctx)
	if err != nil {
		return err
	}
	fill := func(dir string) error {
		py.venv = dir
		return py.fill(ctx, p)
	}
	if p.local {
		err = fill(filepath.Join(py.hop3Dir(), "venv"))
	} else {
		err = py.shared(ctx, p, fill)
	}
	if err != nil || !p.project {
		return err
	}
	return py.installProject(ctx)
}

func (py *pythonBuild) shared(ctx context.Context, p plan, fill func(dir string) error) error {
	words := []string{"1", p.name, py.interpreter.path, py.interpreter.version, fmt.Sprint(py.start.needsServer())}
	key, err := fingerprint(py.src, words, p.files...)
	if err != nil {
		return err
	}
	filled := false
	py.cached = true
	py.venv, err = entry(ctx, py.Build, "venv", key, func(dir string) error {
		filled = true
		return fill(dir)
	})
	if err == nil && !filled {
		say(py.Build, "-----> Dependencies unchanged (%s): using the cached environment", p.name)
	}
	return err
}

// fill makes a virtual environment with everything in it.
func (py *pythonBuild) fill(ctx context.Context, p plan) error {
	if p.name != "" {
		say(py.Build, "-----> Installing dependencies with Python %s (%s)", py.interpreter.version, p.name)
	}
	if py.uv == "" {
		if err := py.makeVenv(ctx, py.venv); err != nil {
			return err
		}
	}
	if err := p.packages(ctx); err != nil {
		return err
	}
	if py.start.needsServer() && !exists(py.bin("gunicorn")) {
		return py.pip(ctx, gunicorn)
	}
	return nil
}

func (py *pythonBuild) makeVenv(ctx context.Context, dir string) error {
	err := py.Runner.Run(ctx, hop3.Command{Args: []string{py.interpreter.path, "-m", "venv", dir}})
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, missing := py.Runner.Output(ctx, hop3.Command{Args: []string{py.interpreter.path, "-c", "import ensurepip"}}); missing != nil {
		return hop3.Errorf(hop3.CodeDeploy, "this server's Python %s cannot make virtual environments", py.interpreter.minor()).
			WithHint("On Debian and Ubuntu: apt-get install python%s-venv", py.interpreter.minor())
	}
	return err
}

// pip installs into the virtual environment.
func (py *pythonBuild) pip(ctx context.Context, args ...string) error {
	argv := []string{py.bin("python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"}
	if py.uv != "" {
		argv = []string{py.uv, "pip", "install", "--python", py.bin("python")}
	}
	return py.Runner.Run(ctx, hop3.Command{Args: append(argv, args...), Env: py.installEnv()})
}

func (py *pythonBuild) installEnv() hop3.Env {
	return hop3.Env{
		"PIP_CACHE_DIR":          filepath.Join(py.Cache, "pip"),
		"PIP_ROOT_USER_ACTION":   "ignore",
		"UV_CACHE_DIR":           filepath.Join(py.Cache, "uv"),
		"UV_PYTHON_DOWNLOADS":    "never",
		"UV_NO_PROGRESS":         "1",
		"UV_PROJECT_ENVIRONMENT": py.venv,
		"POETRY_CACHE_DIR":       filepath.Join(py.Cache, "poetry"),
		"POETRY_NO_INTERACTION":  "1",
		"VIRTUAL_ENV":            py.venv,
		"PYTHONPATH":             "",
		"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
	}
}

// installProject installs the source as the package it is, for its entry points
// and its metadata, in the release.
func (py *pythonBuild) installProject(ctx context.Context) error {
	py.site = true
	say(py.Build, "-----> Installing the app's own package")
	return py.pip(ctx, "--no-deps", "--target", py.siteDir(), ".")
}

// tool returns the path of a program of Python's world, installed with its
// packages in an environment of its own.
func (py *pythonBuild) tool(ctx context.Context, name string, packages ...string) (string, error) {
	key, err := fingerprint(py.src, append([]string{py.interpreter.path, py.interpreter.version}, packages...))
	if err != nil {
		return "", err
	}
	dir, err := entry(ctx, py.Build, name, key, func(dir string) error {
		say(py.Build, "-----> Installing %s", name)
		alone := *py
		alone.venv, alone.uv = dir, ""
		if err := py.makeVenv(ctx, dir); err != nil {
			return err
		}
		return alone.pip(ctx, append([]string{"--quiet"}, packages...)...)
	})
	return filepath.Join(dir, "bin", name), err
}
