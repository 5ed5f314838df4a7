package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ListIn returns the names in the directory name of dir, in order; none when
// there is no such directory. No symbolic link leads out of dir.
func (Files) ListIn(dir, name string) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(root.FS(), filepath.ToSlash(name))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// RemoveIn deletes the file or tree name of dir. It moves it to grave first,
// another name in dir, so that what is at name is whole or not there. No
// symbolic link leads out of dir. It is no error when there is none.
func (f Files) RemoveIn(dir, name, grave string) (err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := f.Remove(filepath.Join(dir, grave)); err != nil {
		return err
	}
	err = root.Rename(name, grave)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, f.Remove(filepath.Join(dir, grave)))
}
