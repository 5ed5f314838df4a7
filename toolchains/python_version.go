package toolchains

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/abilian/hop3/hop3"
)

// interpreter is an installed Python.
type interpreter struct {
	path    string
	version string // 3.12.1
}

func (i interpreter) minor() string {
	parts := strings.SplitN(i.version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

const pythonSays = `import sys; print(sys.executable); print("%d.%d.%d" % sys.version_info[:3])`

// newestPython is the last minor version that is looked for by its name.
const newestPython, oldestPython = 20, 8

var pythonVersion = regexp.MustCompile(`^(?:python-)?(3\.\d+)(\.\d+)?$`)

// interpreter chooses the Python that the app asks for, in .python-version or
// runtime.txt, or that pyproject.toml allows.
func (p *Python) interpreter(ctx context.Context, b *hop3.Build, src fs.FS) (interpreter, error) {
	for _, file := range []string{".python-version", "runtime.txt"} {
		for _, word := range strings.Fields(read(src, file)) {
			if m := pythonVersion.FindStringSubmatch(word); m != nil {
				return p.exactly(ctx, b, m[1], m[1]+m[2], file)
			}
		}
	}
	var tried []string
	wanted := requiresPython(src)
	for _, name := range pythonNames() {
		found, err := p.probe(ctx, b, name)
		if err != nil {
			return interpreter{}, err
		}
		if found.path == "" {
			continue
		}
		if allowed(found.version, wanted) {
			return found, nil
		}
		tried = append(tried, found.version)
	}
	if len(tried) > 0 {
		return interpreter{}, hop3.Errorf(hop3.CodeDeploy, "pyproject.toml requires Python %s; this server has %s", wanted, strings.Join(tried, ", ")).
			WithHint("Install a Python that fits on the server, or change requires-python.")
	}
	return interpreter{}, hop3.Errorf(hop3.CodeDeploy, "Python is not installed on this server").
		WithHint("On Debian and Ubuntu: apt-get install python3 python3-venv")
}

// exactly returns the Python of one minor version.
func (p *Python) exactly(ctx context.Context, b *hop3.Build, minor, full, file string) (interpreter, error) {
	for _, name := range []string{"python" + minor, "python3"} {
		found, err := p.probe(ctx, b, name)
		if err != nil {
			return interpreter{}, err
		}
		if found.path == "" || found.minor() != minor {
			continue
		}
		if full != minor && full != found.version {
			warn(b, "%s asks for Python %s; using %s", file, full, found.version)
		}
		return found, nil
	}
	return interpreter{}, hop3.Errorf(hop3.CodeDeploy, "the app asks for Python %s (%s), which is not installed on this server", minor, file).
		WithHint("Install it (on Debian and Ubuntu: apt-get install python%s python%s-venv), or change %s.", minor, minor, file)
}

// probe returns the Python of that name, a zero one when there is none that
// works: the launchers of version managers exist without a Python behind them.
func (p *Python) probe(ctx context.Context, b *hop3.Build, name string) (interpreter, error) {
	path := find(b, name)
	if path == "" {
		return interpreter{}, nil
	}
	answer, err := p.programs.ask(ctx, b, nil, path, "-I", "-c", pythonSays)
	if ctx.Err() != nil {
		return interpreter{}, err
	}
	lines := strings.Fields(answer)
	if err != nil || len(lines) != 2 {
		return interpreter{}, nil
	}
	return interpreter{path: lines[0], version: lines[1]}, nil
}

func pythonNames() []string {
	names := []string{"python3"}
	for minor := newestPython; minor >= oldestPython; minor-- {
		names = append(names, fmt.Sprintf("python3.%d", minor))
	}
	return names
}

// pyproject is what Hop3 reads of a pyproject.toml.
type pyproject struct {
	Project *struct {
		RequiresPython string   `toml:"requires-python"`
		Dependencies   []string `toml:"dependencies"`
		Dynamic        []string `toml:"dynamic"`
	} `toml:"project"`
	BuildSystem map[string]any `toml:"build-system"`
	Tool        struct {
		UV struct {
			Package *bool `toml:"package"`
		} `toml:"uv"`
	} `toml:"tool"`
}

func readPyproject(src fs.FS) (p pyproject, err error) {
	if err := toml.Unmarshal([]byte(read(src, "pyproject.toml")), &p); err != nil {
		return p, hop3.Errorf(hop3.CodeDeploy, "pyproject.toml is not valid: %w", err)
	}
	return p, nil
}

// requiresPython returns the versions that pyproject.toml allows, "" for any.
// What is wrong with the file is reported where it is needed.
func requiresPython(src fs.FS) string {
	p, err := readPyproject(src)
	if err != nil || p.Project == nil {
		return ""
	}
	return p.Project.RequiresPython
}
