package nix

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/build"
)

// result is what was built: a path of the store, and what its file
// runtime.json says of how it runs.
type result struct {
	path     string
	programs []string // the names in bin
	runtime
	unused []string // keys of runtime.json
}

// runtime is runtime.json. Besides the short keys it has those of Hop3
// (Python).
type runtime struct {
	Workers     map[string]string `json:"workers"`
	Env         map[string]string `json:"env"`
	EnvVars     map[string]string `json:"env_vars"`
	Path        []string          `json:"path"`
	PathPrepend []string          `json:"path_prepend"`
}

var runtimeKeys = []string{"workers", "env", "env_vars", "path", "path_prepend"}

const (
	runtimeFile = "runtime.json"
	maxRuntime  = 256 << 10
	maxPrograms = 1000
)

// readResult looks at what was built, with the rights of the app's user.
func readResult(path string) (*result, error) {
	r := &result{path: path}
	entries, err := os.ReadDir(filepath.Join(path, "bin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, hop3.Errorf(hop3.CodeDeploy, "what %s makes has no readable directory bin: %w", expression, err)
	}
	for _, e := range entries[:min(len(entries), maxPrograms)] {
		if info, err := os.Stat(filepath.Join(path, "bin", e.Name())); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			r.programs = append(r.programs, e.Name())
		}
	}
	text, err := readFile(filepath.Join(path, runtimeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeDeploy, "the %s that %s makes cannot be read: %w", runtimeFile, expression, err)
	}
	return r, r.parse(text)
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("it is not a file"))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRuntime+1))
	if err == nil && len(text) > maxRuntime {
		err = fmt.Errorf("it is larger than %d KiB", maxRuntime>>10)
	}
	return text, err
}

// parse reads runtime.json and checks all of it at once.
func (r *result) parse(text []byte) error {
	var all map[string]json.RawMessage
	err := json.Unmarshal(text, &all)
	if err == nil {
		err = json.Unmarshal(text, &r.runtime)
	}
	if err != nil {
		return hop3.Errorf(hop3.CodeDeploy, "the %s that %s makes is not what it should be: %s", runtimeFile, expression, build.Clean(err.Error())).
			WithHint(`It looks like {"workers": {"web": "/nix/store/…/bin/serve"}, "env": {"KEY": "value"}, "path": ["/nix/store/…/bin"]}.`)
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(runtimeKeys, key) {
			r.unused = append(r.unused, build.Clean(key))
		}
	}
	var problems []string
	add := func(err error) {
		if err != nil {
			first, _, _ := strings.Cut(hop3.MessageOf(err), "\n")
			problems = append(problems, first)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Workers)) {
		add(hop3.ValidateProcessType(name))
		if command := r.Workers[name]; strings.TrimSpace(command) == "" || strings.ContainsAny(command, "\n\r\x00") {
			problems = append(problems, fmt.Sprintf("the command of the worker %q has to be one line", build.Clean(name)))
		}
	}
	r.Env = hop3.Env(r.EnvVars).Merge(r.Env)
	for _, key := range slices.Sorted(maps.Keys(r.Env)) {
		add(hop3.ValidateEnvKey(key))
		add(hop3.ValidateEnvValue(key, r.Env[key]))
	}
	r.Path = append(r.Path, r.PathPrepend...)
	for _, dir := range r.Path {
		if !strings.HasPrefix(dir, storeDir) || filepath.Clean(dir) != dir || strings.ContainsAny(dir, ":\n\r\x00") {
			problems = append(problems, fmt.Sprintf("%q of its path is no directory of Nix's store", build.Clean(dir)))
		}
	}
	if len(problems) > 0 {
		return hop3.Errorf(hop3.CodeDeploy, "the %s that %s makes: %s", runtimeFile, expression, strings.Join(problems, "; "))
	}
	return nil
}

// artifact is what the release needs to run.
func (r *result) artifact(req hop3.BuildRequest) hop3.Artifact {
	a := hop3.Artifact{Toolchains: []string{"nix"}, Env: r.Env, PathPrepend: slices.Clone(r.Path)}
	if bin := filepath.Join(r.path, "bin"); len(r.programs) > 0 && !slices.Contains(a.PathPrepend, bin) {
		a.PathPrepend = append(a.PathPrepend, bin)
	}
	workers := maps.Clone(r.Workers)
	if len(workers) == 0 {
		if program := r.program(req.App); program != "" {
			workers = map[string]string{hop3.ProcessWeb: filepath.Join(r.path, "bin", program)}
		}
	}
	declaresWeb := slices.ContainsFunc(req.Options.Processes, func(p hop3.Process) bool { return hop3.ServesHTTP(p.Type) })
	for _, name := range slices.Sorted(maps.Keys(workers)) {
		// What the manifest declares is what its developer wants.
		if req.Options.Declares(name) || declaresWeb && hop3.ServesHTTP(name) {
			continue
		}
		a.Processes = append(a.Processes, hop3.Process{Type: name, Command: workers[name]})
	}
	return a
}

// program is the one that serves HTTP where nothing says which it is: web, one
// with the app's name, or the only one.
func (r *result) program(app string) string {
	for _, name := range []string{hop3.ProcessWeb, app} {
		if slices.Contains(r.programs, name) {
			return name
		}
	}
	if len(r.programs) == 1 {
		return r.programs[0]
	}
	return ""
}
