package toolchains

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// pipenvPackage is a package of a Pipfile.lock, as Pipenv's documentation of
// the format has it.
type pipenvPackage struct {
	Version  string   `json:"version"` // "==1.2.3"
	Hashes   []string `json:"hashes"`
	Extras   []string `json:"extras"`
	Markers  string   `json:"markers"`
	Path     string   `json:"path"` // of a package of the source
	File     string   `json:"file"` // its URL
	Git      string   `json:"git"`
	Ref      string   `json:"ref"`
	Editable bool     `json:"editable"`
}

// planPipenv has pip install what Pipenv has locked.
func (py *pythonBuild) planPipenv() (plan, error) {
	var lock struct {
		Default map[string]pipenvPackage `json:"default"`
	}
	if err := json.Unmarshal([]byte(read(py.src, "Pipfile.lock")), &lock); err != nil {
		return plan{}, hop3.Errorf(hop3.CodeDeploy, "Pipfile.lock is not valid: %w", err)
	}
	p := plan{name: "Pipfile.lock", files: []string{"Pipfile.lock"}}
	var lines []string
	hashed := true // pip wants hashes of all or of none
	for _, pkg := range lock.Default {
		hashed = hashed && len(pkg.Hashes) > 0 && pkg.Path == "" && pkg.Git == ""
	}
	for _, name := range slices.Sorted(maps.Keys(lock.Default)) {
		pkg := lock.Default[name]
		if !hashed {
			pkg.Hashes = nil
		}
		line, err := pkg.requirement(name)
		if err != nil {
			return plan{}, err
		}
		p.local = p.local || pkg.Path != ""
		lines = append(lines, line)
	}
	p.packages = func(ctx context.Context) error {
		list := py.packageList()
		if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return fmt.Errorf("writing the list of packages: %w", err)
		}
		return py.pip(ctx, "--no-deps", "-r", list)
	}
	return p, nil
}

// requirement is the package as a line of a requirements file.
func (p pipenvPackage) requirement(name string) (string, error) {
	line := name
	if len(p.Extras) > 0 {
		line += "[" + strings.Join(p.Extras, ",") + "]"
	}
	switch {
	case p.Path != "":
		line = p.Path
		if p.Editable {
			line = "-e " + line
		}
	case p.Git != "":
		line += " @ git+" + p.Git + "@" + p.Ref
	case p.File != "":
		line += " @ " + p.File
	default:
		line += p.Version
	}
	if p.Markers != "" && p.Path == "" {
		line += " ; " + p.Markers
	}
	for _, h := range p.Hashes {
		line += " --hash=" + h
	}
	if strings.ContainsAny(line, "\r\n") {
		return "", hop3.Errorf(hop3.CodeDeploy, "Pipfile.lock is not valid: the package %q has a line break in it", name)
	}
	return line, nil
}
