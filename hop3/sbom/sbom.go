// Package sbom finds out which packages of others a release contains, from what
// package managers have left in its files: what is installed rather than what
// was asked for, where both are known. It writes the list as CycloneDX.
package sbom

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/package-url/packageurl-go"
)

// Package is one package of somebody else in a release.
type Package struct {
	// Type is that of its package URL: "pypi", "npm", "golang", …
	Type      string
	Namespace string // as "@scope" of npm and the group of Maven; may be empty
	Name      string
	Version   string
	File      string // the file it was found in
}

// PURL returns its package URL (https://github.com/package-url/purl-spec).
func (p Package) PURL() string {
	u := packageurl.NewPackageURL(p.Type, p.Namespace, p.Name, p.Version, nil, "")
	_ = u.Normalize() // what a type has no rules for stays as it is
	return u.ToString()
}

// Bounds on what is looked at: the files are those of a stranger.
const (
	maxFiles = 400_000  // names that are looked at
	maxDepth = 24       // directories in each other
	maxRead  = 32 << 20 // bytes of one file that is parsed
	maxFound = 50_000   // packages
)

// Read looks through directories of a release. What cannot be read or parsed is
// named among the notes, and left out.
func Read(trees ...fs.FS) (packages []Package, notes []string, err error) {
	s := &search{installed: map[string]bool{}}
	for _, tree := range trees {
		if err := s.walk(tree); err != nil {
			return nil, nil, err
		}
	}
	// What a lock file asks for says nothing about an ecosystem whose installed
	// packages were found.
	found := slices.DeleteFunc(s.found, func(f finding) bool { return !f.installed && s.installed[f.Type] })
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.PURL(), b.PURL()), cmp.Compare(a.File, b.File))
	})
	for _, f := range found {
		if n := len(packages); n == 0 || packages[n-1].PURL() != f.PURL() {
			packages = append(packages, f.Package)
		}
	}
	return packages, s.notes, nil
}

// Private

type finding struct {
	Package
	installed bool // and not only asked for
}

// search is what was found so far.
type search struct {
	tree      fs.FS
	files     int
	found     []finding
	installed map[string]bool // by type
	notes     []string
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

func (s *search) walk(tree fs.FS) error {
	s.tree = tree
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			s.note(name, err)
			return nil
		}
		if s.files++; s.files > maxFiles || len(s.found) > maxFound {
			s.notes = append(s.notes, fmt.Sprintf("there is more than %d files or %d packages: the rest was not looked at", maxFiles, maxFound))
			return errEnough
		}
		if d.IsDir() {
			return s.dir(name, d.Name())
		}
		if d.Type().IsRegular() {
			s.file(name, d)
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// dir looks at a directory; those of installed packages are not walked.
func (s *search) dir(name, base string) error {
	switch {
	case base == ".git" || base == "__pycache__" || strings.Count(name, "/") > maxDepth:
		return fs.SkipDir
	case base == "site-packages":
		s.sitePackages(name)
		return fs.SkipDir
	case base == "node_modules":
		s.nodeModules(name)
		return fs.SkipDir
	}
	return nil
}

// parsers are of files with fixed names.
var parsers = map[string]struct {
	parse     func(content []byte) ([]Package, error)
	installed bool
}{
	"package-lock.json": {parse: npmLock},
	"yarn.lock":         {parse: yarnLock},
	"pnpm-lock.yaml":    {parse: pnpmLock},
	"requirements.txt":  {parse: requirements},
	"uv.lock":           {parse: tomlLock("pypi")},
	"poetry.lock":       {parse: tomlLock("pypi")},
	"pdm.lock":          {parse: tomlLock("pypi")},
	"Pipfile.lock":      {parse: pipfileLock},
	"Cargo.lock":        {parse: tomlLock("cargo")},
	"Gemfile.lock":      {parse: gemfileLock},
	"composer.lock":     {parse: composer},
	"installed.json":    {parse: composer, installed: true},
	"mix.lock":          {parse: mixLock},
	"go.mod":            {parse: goMod},
}

func (s *search) file(name string, d fs.DirEntry) {
	base := path.Base(name)
	p, known := parsers[base]
	if base == "installed.json" && path.Base(path.Dir(name)) != "composer" {
		known = false
	}
	switch {
	case known:
		content, err := s.read(name)
		if err == nil {
			var found []Package
			if found, err = p.parse(content); err == nil {
				s.add(name, p.installed, found...)
			}
		}
		s.note(name, err)
	case strings.HasSuffix(base, ".deps.json"):
		s.dotnet(name)
	case strings.HasSuffix(base, ".jar"):
		s.jar(name)
	default:
		s.program(name, d)
	}
}

func (s *search) read(name string) ([]byte, error) {
	f, err := s.tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxRead+1))
	if err == nil && len(content) > maxRead {
		err = fmt.Errorf("it is larger than %d MB", maxRead>>20)
	}
	return content, err
}

func (s *search) add(file string, installed bool, packages ...Package) {
	for _, p := range packages {
		if p.Name == "" || p.Version == "" {
			continue
		}
		p.File = file
		s.found = append(s.found, finding{p, installed})
		s.installed[p.Type] = s.installed[p.Type] || installed
	}
}

func (s *search) note(name string, err error) {
	const most = 100
	if err != nil && len(s.notes) < most {
		s.notes = append(s.notes, fmt.Sprintf("%s: %v", name, err))
	}
}
