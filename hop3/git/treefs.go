package git

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// maxReadFile is the largest file that is read out of a commit without checking
// it out: manifests and the like.
const maxReadFile = 16 << 20

// treeFS is a commit's tree as an fs.FS. It follows symbolic links, but not out
// of the tree.
type treeFS struct{ c *Commit }

var (
	_ fs.StatFS    = treeFS{}
	_ fs.ReadDirFS = treeFS{}
)

// Open opens a file or a directory.
func (t treeFS) Open(name string) (fs.File, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	info, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		entries, err := t.list(info)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &openDir{info: info, entries: entries}, nil
	}
	data, err := t.c.read(info.entry.Hash, maxReadFile)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{info: info, Reader: bytes.NewReader(data)}, nil
}

// Stat describes a file without reading it.
func (t treeFS) Stat(name string) (fs.FileInfo, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	info, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	return info, nil
}

// ReadDir lists a directory.
func (t treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	info, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	return t.list(info)
}

// find looks a name up, following links.
func (t treeFS) find(op, name string) (*entryInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	real, err := follow(name, func(name string) (string, error) {
		entry, err := t.lookup(name)
		if err != nil || entry.Mode != filemode.Symlink {
			return "", err
		}
		target, err := t.c.read(entry.Hash, maxLinkTarget)
		return string(target), err
	})
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	entry, err := t.lookup(real)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	info, err := t.info(entry)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	info.name = path.Base(name)
	return info, nil
}

// lookup finds an entry by a path without links in its directories.
func (t treeFS) lookup(name string) (object.TreeEntry, error) {
	at := object.TreeEntry{Name: ".", Mode: filemode.Dir, Hash: t.c.commit.TreeHash}
	if name == "" {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if at.Mode != filemode.Dir {
			return at, fs.ErrNotExist
		}
		tree, err := t.c.tree(at.Hash)
		if err != nil {
			return at, err
		}
		entry, err := tree.FindEntry(part)
		if err != nil {
			return at, fs.ErrNotExist
		}
		at = *entry
	}
	return at, nil
}

func (t treeFS) list(dir *entryInfo) ([]fs.DirEntry, error) {
	if dir.entry.Mode == filemode.Submodule {
		return nil, nil
	}
	tree, err := t.c.tree(dir.entry.Hash)
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, 0, len(tree.Entries))
	for _, e := range tree.Entries {
		info, err := t.info(e)
		if err != nil {
			return nil, err
		}
		entries = append(entries, fs.FileInfoToDirEntry(info))
	}
	// Git sorts a directory as if its name ended with a slash.
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (t treeFS) info(e object.TreeEntry) (*entryInfo, error) {
	info := &entryInfo{name: e.Name, entry: e, when: t.c.commit.Committer.When}
	if e.Mode == filemode.Dir || e.Mode == filemode.Submodule {
		return info, nil
	}
	size, err := t.c.store.EncodedObjectSize(e.Hash)
	info.size = size
	return info, err
}

// entryInfo is a tree entry as an fs.FileInfo.
type entryInfo struct {
	name  string
	entry object.TreeEntry
	size  int64
	when  time.Time
}

func (i *entryInfo) Name() string       { return i.name }
func (i *entryInfo) Size() int64        { return i.size }
func (i *entryInfo) ModTime() time.Time { return i.when }
func (i *entryInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i *entryInfo) Sys() any           { return nil }

func (i *entryInfo) Mode() fs.FileMode {
	switch i.entry.Mode {
	case filemode.Dir, filemode.Submodule:
		return fs.ModeDir | 0o755
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Executable:
		return 0o755
	default:
		return 0o644
	}
}

type openFile struct {
	info *entryInfo
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info    *entryInfo
	entries []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

// ReadDir returns the next n entries, or all that are left.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		rest := d.entries
		d.entries = nil
		return rest, nil
	}
	if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	next := d.entries[:n]
	d.entries = d.entries[n:]
	return next, nil
}
