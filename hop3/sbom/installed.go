package sbom

import (
	"archive/zip"
	"bufio"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"io"
	"io/fs"
	"net/textproto"
	"path"
	"strings"
)

// sitePackages reads what is installed in a directory of Python packages, from
// the METADATA of each (https://packaging.python.org/specifications/core-metadata).
func (s *search) sitePackages(dir string) {
	entries, err := fs.ReadDir(s.tree, dir)
	s.note(dir, err)
	for _, e := range entries {
		if s.files++; !e.IsDir() || !strings.HasSuffix(e.Name(), ".dist-info") {
			continue
		}
		name := path.Join(dir, e.Name(), "METADATA")
		content, err := s.read(name)
		if err != nil {
			s.note(name, err)
			continue
		}
		// A description follows, which may break the rules of headers.
		header, _ := textproto.NewReader(bufio.NewReader(bytes.NewReader(content))).ReadMIMEHeader()
		s.add(name, true, Package{Type: "pypi", Name: header.Get("Name"), Version: header.Get("Version")})
	}
}

// nodeModules reads what is installed in a node_modules: npm keeps a list, of
// the others each package has its own file.
func (s *search) nodeModules(dir string) {
	list := path.Join(dir, ".package-lock.json")
	if content, err := s.read(list); err == nil {
		if found, err := npmLock(content); err == nil {
			s.add(list, true, found...)
			return
		}
	}
	s.nodePackages(dir, 0)
}

func (s *search) nodePackages(dir string, depth int) {
	entries, err := fs.ReadDir(s.tree, dir)
	if err != nil || depth > maxDepth {
		return // a package without packages of its own
	}
	for _, e := range entries {
		if s.files++; s.files > maxFiles || !e.IsDir() || e.Name() == ".bin" {
			continue // a link leads to what is found where it is
		}
		inner := path.Join(dir, e.Name())
		switch {
		case e.Name() == ".pnpm" || strings.HasPrefix(e.Name(), "@"):
			s.nodePackages(inner, depth+1)
			continue
		case path.Base(dir) == ".pnpm":
			s.nodePackages(path.Join(inner, "node_modules"), depth+1)
			continue
		}
		file := path.Join(inner, "package.json")
		if content, err := s.read(file); err == nil {
			var p struct{ Name, Version string }
			if err := json.Unmarshal(content, &p); err != nil {
				s.note(file, err)
			}
			s.add(file, true, npmPackage(p.Name, p.Version))
		}
		s.nodePackages(path.Join(inner, "node_modules"), depth+1)
	}
}

// program reads which modules a program of Go was built of.
func (s *search) program(name string, d fs.DirEntry) {
	const least = 256 << 10 // none is smaller
	info, err := d.Info()
	if err != nil || info.Mode()&0o111 == 0 || info.Size() < least {
		return
	}
	f, err := s.tree.Open(name)
	if err != nil {
		s.note(name, err)
		return
	}
	defer f.Close()
	content, ok := f.(io.ReaderAt)
	if !ok {
		return
	}
	built, err := buildinfo.Read(content)
	if err != nil {
		return // another language's
	}
	s.add(name, true, Package{Type: "golang", Name: "stdlib", Version: strings.TrimPrefix(built.GoVersion, "go")})
	for _, m := range built.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		s.add(name, true, goPackage(m.Path, m.Version))
	}
}

// dotnet reads which packages a program of .NET was published with.
func (s *search) dotnet(name string) {
	var deps struct {
		Libraries map[string]struct{ Type string }
	}
	content, err := s.read(name)
	if err == nil {
		err = json.Unmarshal(content, &deps)
	}
	s.note(name, err)
	for key, lib := range deps.Libraries {
		if what, version, ok := strings.Cut(key, "/"); ok && lib.Type == "package" {
			s.add(name, true, Package{Type: "nuget", Name: what, Version: version})
		}
	}
}

// jar reads which packages of Maven are in a jar, and in the jars in it.
func (s *search) jar(name string) {
	f, err := s.tree.Open(name)
	if err != nil {
		s.note(name, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	content, ok := f.(io.ReaderAt)
	if err != nil || !ok {
		s.note(name, err)
		return
	}
	z, err := zip.NewReader(content, info.Size())
	if err != nil {
		s.note(name, err)
		return
	}
	s.maven(name, z, true)
}

func (s *search) maven(name string, z *zip.Reader, outermost bool) {
	for _, member := range z.File {
		if s.files++; s.files > maxFiles {
			return
		}
		isProperties := strings.HasPrefix(member.Name, "META-INF/maven/") && path.Base(member.Name) == "pom.properties"
		if !isProperties && !(outermost && strings.HasSuffix(member.Name, ".jar")) {
			continue
		}
		content, err := readMember(member)
		if err != nil {
			s.note(name+"!"+member.Name, err)
			continue
		}
		if isProperties {
			s.add(name, true, pomProperties(content))
			continue
		}
		inner, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		s.note(name+"!"+member.Name, err)
		if err == nil {
			s.maven(name+"!"+member.Name, inner, false)
		}
	}
}

func readMember(member *zip.File) ([]byte, error) {
	r, err := member.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxRead)) // a longer jar has lost its directory, and says so
}

func pomProperties(content []byte) Package {
	p := Package{Type: "maven"}
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "groupId":
			p.Namespace = value
		case "artifactId":
			p.Name = value
		case "version":
			p.Version = value
		}
	}
	return p
}
