// Package disk is what the platform does to the files under a home. What lies
// there was made by apps and their builds, so nothing here follows a symbolic
// link that it did not make itself.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Files implements platform.Files. It is safe for concurrent use.
type Files struct{}

// MakeDir makes a directory and its parents, closed to other users.
func (Files) MakeDir(path string) error {
	return os.MkdirAll(path, 0o750)
}

// Rename moves a file or directory on the same disk.
func (Files) Rename(from, to string) error {
	return os.Rename(from, to)
}

// Remove deletes a tree, also one with directories that may not be written,
// as build tools make them. It is no error when there is none.
func (Files) Remove(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := unlock(path); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return os.RemoveAll(path)
}

// unlock lets us write to every directory of a tree.
func unlock(path string) error {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return err
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return err
	}
	// A Root, because the tree may change under the walk: no link leads the
	// change of mode out of it.
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return root.Chmod(name, 0o700)
	})
	return errors.Join(err, root.Close())
}

// List returns the names in a directory, in order; none when there is none.
func (Files) List(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Link makes link a symbolic link to target, replacing an older link
// atomically. Anything else that stands there is left, and an error.
func (Files) Link(target, link string) error {
	if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("linking %s: something else is there", link)
	}
	// A directory of its own gives the new link a name nobody else has.
	dir, err := os.MkdirTemp(filepath.Dir(link), ".link-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fresh := filepath.Join(dir, "link")
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	return os.Rename(fresh, link)
}

// Open gives a directory for reading; its symbolic links cannot lead out.
func (Files) Open(dir string) (fs.FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return root.FS(), nil // closes with the last reference to it
}

// Free returns the bytes and the inodes that we may still use on the disk of
// path, which need not exist yet. Where inodes are not counted, there is no
// end of them.
func (Files) Free(path string) (bytes, inodes uint64, err error) {
	var s unix.Statfs_t
	for {
		err = unix.Statfs(path, &s)
		parent := filepath.Dir(path)
		if !errors.Is(err, unix.ENOENT) || parent == path {
			break
		}
		path = parent
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the free space of %s: %w", path, err)
	}
	inodes = s.Ffree
	if s.Files == 0 {
		inodes = math.MaxUint64
	}
	return s.Bavail * uint64(s.Bsize), inodes, nil
}
