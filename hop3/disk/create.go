package disk

import (
	"io"
	"os"
	"path/filepath"
)

// Create makes a new file below dir, with the directories on the way to it,
// and opens it for writing. No symbolic link that somebody left there leads out
// of dir, and what is there already is an error.
func (Files) Create(dir, name string) (_ io.WriteCloser, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return nil, err
	}
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
}
