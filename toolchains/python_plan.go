package toolchains

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// plan says how an app's packages are installed.
type plan struct {
	name  string   // for people
	files []string // what the installation depends on
	// local: packages of the source itself are among them, so that releases
	// cannot share the environment.
	local bool
	// project: the source is a package of its own, installed per release.
	project  bool
	packages func(ctx context.Context) error
}

var nothing = func(context.Context) error { return nil }

func (py *pythonBuild) plan(ctx context.Context) (plan, error) {
	switch {
	case len(py.Options.Commands) > 0:
		return plan{local: true, packages: nothing}, nil
	case has(py.src, "uv.lock"):
		return py.planUV(ctx)
	case has(py.src, "poetry.lock"):
		return py.planPoetry(), nil
	case has(py.src, "requirements.txt"):
		return py.planRequirements()
	case has(py.src, "pyproject.toml"):
		return py.planPyproject()
	case has(py.src, "Pipfile.lock"):
		return py.planPipenv()
	case has(py.src, "Pipfile"):
		return plan{}, hop3.Errorf(hop3.CodeDeploy, "there is a Pipfile and no Pipfile.lock").
			WithHint("Run `pipenv lock` and commit Pipfile.lock.")
	}
	return plan{name: "no packages", packages: nothing}, nil
}

// pathSource finds packages of a uv.lock that come from a directory.
var pathSource = regexp.MustCompile(`source = \{ (?:editable|directory|virtual|path) = "([^"]+)"`)

func (py *pythonBuild) planUV(ctx context.Context) (plan, error) {
	project, err := readPyproject(py.src)
	if err != nil {
		return plan{}, err
	}
	p := plan{name: "uv.lock", files: []string{"uv.lock", "pyproject.toml"}}
	for _, m := range pathSource.FindAllStringSubmatch(read(py.src, "uv.lock"), -1) {
		p.local = p.local || m[1] != "."
	}
	packaged := project.BuildSystem != nil
	if project.Tool.UV.Package != nil {
		packaged = *project.Tool.UV.Package
	}
	p.project = packaged && !p.local
	args := []string{"sync", "--frozen", "--no-dev", "--python", py.interpreter.path}
	if p.project {
		args = append(args, "--no-install-project")
	}
	if py.uv = find(py.Build, "uv"); py.uv == "" {
		if py.uv, err = py.tool(ctx, "uv", uvTool); err != nil {
			return plan{}, err
		}
	}
	p.packages = func(ctx context.Context) error {
		return py.Runner.Run(ctx, hop3.Command{Args: append([]string{py.uv}, args...), Env: py.installEnv()})
	}
	return p, nil
}

var poetryPathSource = regexp.MustCompile(`(?m)^type = "(directory|file)"`)

// planPoetry has Poetry say what the lock means, and pip install that.
func (py *pythonBuild) planPoetry() plan {
	return plan{
		name:  "poetry.lock",
		files: []string{"poetry.lock", "pyproject.toml"},
		local: poetryPathSource.MatchString(read(py.src, "poetry.lock")),
		packages: func(ctx context.Context) error {
			program, err := py.tool(ctx, "poetry", poetry, poetryExport)
			if err != nil {
				return err
			}
			list := py.packageList()
			err = py.Runner.Run(ctx, hop3.Command{
				Args: []string{program, "export", "--only", "main", "--format", "requirements.txt", "--output", list, "--no-ansi"},
				Env:  py.installEnv(),
			})
			if err != nil {
				return err
			}
			return py.pip(ctx, "-r", list)
		},
	}
}

// packageList is a requirements file made for pip.
func (py *pythonBuild) packageList() string { return filepath.Join(py.venv, "requirements.txt") }

var (
	localRequirement = regexp.MustCompile(`(?m)^\s*(-e\b|--editable\b|\.|/|file:|[^#\n]*@\s*file:|\./)`)
	included         = regexp.MustCompile(`(?m)^\s*(?:-r|--requirement|-c|--constraint)[ =]?\s*(\S+)`)
)

func (py *pythonBuild) planRequirements() (plan, error) {
	files := py.requirementFiles("requirements.txt")
	p := plan{name: "requirements.txt", files: files}
	for _, file := range files {
		p.local = p.local || localRequirement.MatchString(read(py.src, file))
	}
	p.packages = func(ctx context.Context) error { return py.pip(ctx, "-r", "requirements.txt") }
	var lines []string
	for _, file := range files {
		lines = append(lines, strings.Split(read(py.src, file), "\n")...)
	}
	return p, py.pinned("requirements.txt", lines)
}

// requirementFiles returns a requirements file and those it includes.
func (py *pythonBuild) requirementFiles(name string) []string {
	files := []string{name}
	for i := 0; i < len(files) && len(files) < 100; i++ {
		for _, m := range included.FindAllStringSubmatch(read(py.src, files[i]), -1) {
			next := filepath.Join(filepath.Dir(files[i]), m[1])
			if has(py.src, next) && !slices.Contains(files, next) {
				files = append(files, next)
			}
		}
	}
	return files
}

var requirement = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*`)

// pinned looks for requirements without an exact version.
func (py *pythonBuild) pinned(file string, lines []string) error {
	if names := unpinned(lines); len(names) > 0 {
		return unlocked(py.Build, "%s does not pin %s: a later build may get another version", file, strings.Join(names, ", "))
	}
	return nil
}

// unpinned names the first few requirements without an exact version.
func unpinned(lines []string) []string {
	var out []string
	for _, line := range lines {
		name := requirement.FindString(strings.TrimSpace(line))
		if name == "" || strings.Contains(line, "==") || strings.Contains(line, "--hash") || strings.Contains(line, "@") {
			continue
		}
		if out = append(out, name); len(out) == 5 {
			return append(out, "…")
		}
	}
	return out
}

func (py *pythonBuild) planPyproject() (plan, error) {
	project, err := readPyproject(py.src)
	if err != nil {
		return plan{}, err
	}
	p := plan{name: "pyproject.toml", files: []string{"pyproject.toml"}}
	if project.Project == nil || slices.Contains(project.Project.Dynamic, "dependencies") {
		p.local = true
		p.packages = func(ctx context.Context) error { return py.pip(ctx, ".") }
		return p, unlocked(py.Build, "neither uv.lock nor poetry.lock fixes the packages of pyproject.toml: a later build may get other versions")
	}
	needs := project.Project.Dependencies
	p.project = project.BuildSystem != nil
	p.packages = func(ctx context.Context) error {
		if len(needs) == 0 {
			return nil
		}
		list := py.packageList()
		if err := os.WriteFile(list, []byte(strings.Join(needs, "\n")+"\n"), 0o644); err != nil {
			return fmt.Errorf("writing the list of packages: %w", err)
		}
		return py.pip(ctx, "-r", list)
	}
	return p, py.pinned("pyproject.toml", needs)
}
