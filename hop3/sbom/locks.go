package sbom

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
)

// tomlLock parses the lock files that are TOML with [[package]]: of uv, Poetry,
// PDM and Cargo. What has its source in the project itself is none of others.
func tomlLock(kind string) func([]byte) ([]Package, error) {
	return func(content []byte) ([]Package, error) {
		var lock struct {
			Package []struct {
				Name, Version string
				Source        any
			}
		}
		if err := toml.Unmarshal(content, &lock); err != nil {
			return nil, err
		}
		var out []Package
		for _, p := range lock.Package {
			if table, isTable := p.Source.(map[string]any); isTable && (table["virtual"] != nil || table["editable"] != nil) {
				continue
			}
			if kind == "cargo" && p.Source == nil {
				continue
			}
			out = append(out, Package{Type: kind, Name: p.Name, Version: p.Version})
		}
		return out, nil
	}
}

var pinned = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==\s*([A-Za-z0-9.!+_-]+)\s*(?:[;#\\].*)?$`)

// requirements takes what a requirements.txt pins.
func requirements(content []byte) ([]Package, error) {
	var out []Package
	for line := range strings.Lines(string(content)) {
		if m := pinned.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			out = append(out, Package{Type: "pypi", Name: m[1], Version: m[2]})
		}
	}
	return out, nil
}

func pipfileLock(content []byte) ([]Package, error) {
	var lock struct {
		Default map[string]struct{ Version string }
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	var out []Package
	for name, p := range lock.Default {
		out = append(out, Package{Type: "pypi", Name: name, Version: strings.TrimPrefix(p.Version, "==")})
	}
	return out, nil
}

// gem is a line of the specs of a Gemfile.lock: four blanks, name and version.
var gem = regexp.MustCompile(`^ {4}([A-Za-z0-9._-]+) \(([^)]+)\)$`)

func gemfileLock(content []byte) ([]Package, error) {
	var out []Package
	lines := bufio.NewScanner(bytes.NewReader(content))
	section := ""
	for lines.Scan() {
		line := lines.Text()
		if line != "" && line[0] != ' ' {
			section = line
		}
		if m := gem.FindStringSubmatch(line); m != nil && (section == "GEM" || section == "GIT") {
			out = append(out, Package{Type: "gem", Name: m[1], Version: m[2]})
		}
	}
	return out, lines.Err()
}

// composer parses a composer.lock, and what Composer keeps of what it has
// installed.
func composer(content []byte) ([]Package, error) {
	var lock struct {
		Packages []struct{ Name, Version string }
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	var out []Package
	for _, p := range lock.Packages {
		vendor, name, _ := strings.Cut(p.Name, "/")
		out = append(out, Package{Type: "composer", Namespace: vendor, Name: name, Version: p.Version})
	}
	return out, nil
}

var hex = regexp.MustCompile(`^\s*"[^"]+": \{:hex, :([a-z0-9_]+), "([^"]+)"`)

func mixLock(content []byte) ([]Package, error) {
	var out []Package
	for line := range strings.Lines(string(content)) {
		if m := hex.FindStringSubmatch(line); m != nil {
			out = append(out, Package{Type: "hex", Name: m[1], Version: m[2]})
		}
	}
	return out, nil
}

// goMod takes what a go.mod requires, where no program tells what was built in.
func goMod(content []byte) ([]Package, error) {
	mod, err := modfile.ParseLax("go.mod", content, nil)
	if err != nil {
		return nil, err
	}
	var out []Package
	for _, r := range mod.Require {
		out = append(out, goPackage(r.Mod.Path, r.Mod.Version))
	}
	return out, nil
}

func npmLock(content []byte) ([]Package, error) {
	var lock struct {
		Packages map[string]struct {
			Name, Version string
			Dev, Link     bool
		}
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	var out []Package
	for _, place := range slices.Sorted(maps.Keys(lock.Packages)) {
		p := lock.Packages[place]
		i := strings.LastIndex(place, "node_modules/")
		if i < 0 || p.Dev || p.Link {
			continue // the project itself, or what a server does not need
		}
		if p.Name == "" {
			p.Name = place[i+len("node_modules/"):]
		}
		out = append(out, npmPackage(p.Name, p.Version))
	}
	return out, nil
}

var (
	yarnEntry   = regexp.MustCompile(`^"?((?:@[^/@"]+/)?[^@"/]+)@.*:$`)
	yarnVersion = regexp.MustCompile(`^  version:? "?([^"]+)"?$`)
)

// yarnLock parses the lock file of Yarn, of version 1 and of later ones.
func yarnLock(content []byte) ([]Package, error) {
	var out []Package
	name := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\r\n")
		if m := yarnEntry.FindStringSubmatch(line); m != nil {
			name = m[1]
		} else if m := yarnVersion.FindStringSubmatch(line); m != nil && name != "" {
			if m[1] != "0.0.0-use.local" {
				out = append(out, npmPackage(name, m[1]))
			}
			name = ""
		}
	}
	return out, nil
}

var pnpmKey = regexp.MustCompile(`^/?((?:@[^/@]+/)?[^/@]+)[@/]([^@(_/]+)`)

func pnpmLock(content []byte) ([]Package, error) {
	var lock struct {
		Packages map[string]yaml.Node
	}
	if err := yaml.Unmarshal(content, &lock); err != nil {
		return nil, err
	}
	var out []Package
	for key := range lock.Packages {
		if m := pnpmKey.FindStringSubmatch(key); m != nil {
			out = append(out, npmPackage(m[1], m[2]))
		}
	}
	return out, nil
}

func npmPackage(name, version string) Package {
	if scope, rest, scoped := strings.Cut(name, "/"); scoped {
		return Package{Type: "npm", Namespace: scope, Name: rest, Version: version}
	}
	return Package{Type: "npm", Name: name, Version: version}
}

func goPackage(module, version string) Package {
	i := strings.LastIndex(module, "/")
	if i < 0 {
		return Package{Type: "golang", Name: module, Version: version}
	}
	return Package{Type: "golang", Namespace: module[:i], Name: module[i+1:], Version: version}
}
