package cli

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// packed is a directory as a tar.gz in a temporary file.
type packed struct {
	*os.File
	size  int64
	names []string
	// context is the one that hop3.toml is packed for; "" for none.
	context string
	// deprecated says that .hop3ignore left something out.
	deprecated bool
}

// packProject packs the files of dir, without what is never deployed, what git
// ignores, and what [build].ignore of its hop3.toml names. That file is packed
// as it is in a context.
func packProject(dir, context string) (_ *packed, err error) {
	m, err := readProject(dir)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "hop3-deploy-*.tar.gz")
	if err != nil {
		return nil, err
	}
	a := &packed{File: file, context: context}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	ignored, deprecated, err := newIgnore(dir, m.Build.Ignore)
	if err != nil {
		return nil, err
	}
	a.deprecated = deprecated
	if err := a.write(dir, ignored); err != nil {
		return nil, err
	}
	if len(a.names) == 0 {
		return nil, exitf(api.ExitUsage, "There is nothing to deploy in %s.", dir)
	}
	a.size, err = file.Seek(0, io.SeekEnd)
	return a, err
}

func (a *packed) write(dir string, ignored *ignore) error {
	zipped := gzip.NewWriter(a.File)
	out := tar.NewWriter(zipped)
	tree := os.DirFS(dir)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return ignored.enter("")
		case ignored.matches(name, entry.IsDir()):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			return a.addLink(out, dir, name)
		case slices.Contains(projectFiles, name) && entry.Type().IsRegular():
			return a.addProjectFile(out, dir, name)
		case entry.Type().IsRegular():
			return a.addFile(out, tree, name)
		case entry.IsDir():
			return ignored.enter(name)
		default:
			return nil // a directory comes with its files; sockets and devices do not travel
		}
	})
	if err != nil {
		return fmt.Errorf("packing %s: %w", dir, err)
	}
	return errors.Join(out.Close(), zipped.Close())
}

func (a *packed) addFile(out *tar.Writer, tree fs.FS, name string) error {
	f, err := tree.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: mode, ModTime: info.ModTime()})
	if err != nil {
		return err
	}
	// A log that grows while it is packed must not break the archive.
	if _, err := io.CopyN(out, f, info.Size()); err != nil {
		return fmt.Errorf("%s changed while it was packed: %w", name, err)
	}
	a.names = append(a.names, name)
	return nil
}

// addProjectFile packs a hop3.toml.
func (a *packed) addProjectFile(out *tar.Writer, dir, name string) error {
	content, err := readConfigFile(dir, name)
	if err == nil {
		content, err = flatten(content, a.context)
	}
	if err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	a.names = append(a.names, name)
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
		return err
	}
	_, err = out.Write(content)
	return err
}

// addLink packs a symbolic link that stays inside; the server refuses others.
func (a *packed) addLink(out *tar.Writer, dir, name string) error {
	target, err := os.Readlink(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	target = filepath.ToSlash(target)
	if to := path.Join(path.Dir(name), target); path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
		return nil
	}
	a.names = append(a.names, name)
	return out.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}
