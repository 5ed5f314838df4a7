package archive

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Restore unpacks a tar stream of directories that were archived whole: modes,
// times and symbolic links are as they were, wherever these lead, since the
// app whose files they are could make them itself. But no file is written, nor
// is anything changed, outside of the directories: links are made last, and
// none is followed out. The first element of each name is given to into, which
// says where what is below it goes; "" skips it. The directories exist.
func Restore(ctx context.Context, r io.Reader, into func(top string) string) (err error) {
	t := restoration{ctx: ctx, into: into, places: map[string]*place{}}
	defer func() {
		for _, p := range t.places {
			err = errors.Join(err, p.root.Close())
		}
	}()
	members := tar.NewReader(r)
	for {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			return t.finish()
		}
		if err != nil {
			return t.damage(err)
		}
		if err := t.member(h, members); err != nil {
			return err
		}
	}
}

// restoration is the state of one Restore.
type restoration struct {
	ctx    context.Context
	into   func(top string) string
	places map[string]*place // by directory
	buffer []byte            // of what is copied
}

// place is a directory that is unpacked into, and what is done to it last.
type place struct {
	extraction
	dirs []*tar.Header // with their names below the directory
}

// find returns the place of a member and its name there; nil to skip it.
func (t *restoration) find(name string) (*place, string, error) {
	name, err := cleanName(name)
	if err != nil {
		return nil, "", err
	}
	top, rest, _ := strings.Cut(name, "/")
	if top == "." {
		return nil, "", nil
	}
	dir := t.into(top)
	if dir == "" {
		return nil, "", nil
	}
	p := t.places[dir]
	if p == nil {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, "", err
		}
		p = &place{extraction: extraction{ctx: t.ctx, root: root}}
		t.places[dir] = p
	}
	if rest == "" {
		rest = "."
	}
	return p, rest, nil
}

func (t *restoration) member(h *tar.Header, content io.Reader) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	p, name, err := t.find(h.Name)
	if err != nil || p == nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		d := *h
		d.Name = name
		p.dirs = append(p.dirs, &d)
		return p.makeDir(name)
	case tar.TypeReg:
		return t.file(p, name, h, content)
	case tar.TypeSymlink:
		if name == "." || h.Linkname == "" || strings.ContainsRune(h.Linkname, 0) {
			return refuse("%s is a broken symbolic link", quote(name))
		}
		p.links = append(p.links, link{name, h.Linkname})
		return nil
	case tar.TypeLink:
		return t.copyOf(p, name, h)
	default:
		return refuse("%s is neither a file, a directory nor a link", quote(name))
	}
}

func (t *restoration) file(p *place, name string, h *tar.Header, content io.Reader) error {
	if name == "." {
		return refuse("one of its files has no name")
	}
	if err := p.makeDir(path.Dir(name)); err != nil {
		return err
	}
	// The last of two members of one name counts, as with tar.
	if err := p.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return p.diskError(name, err)
	}
	f, err := p.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return p.diskError(name, err)
	}
	if t.buffer == nil {
		t.buffer = make([]byte, 256<<10)
	}
	// Without its ReadFrom, which would write in small pieces.
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, content, t.buffer)
	if chmodErr := f.Chmod(fs.FileMode(h.Mode) & fs.ModePerm); err == nil {
		err = chmodErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return t.damage(err)
	}
	return p.root.Chtimes(name, time.Time{}, h.ModTime)
}

// copyOf makes a hard link to a file that was unpacked before a file of its
// own: nothing that is written to one shows in another, of another owner.
func (t *restoration) copyOf(p *place, name string, h *tar.Header) error {
	from, old, err := t.find(h.Linkname)
	if err != nil {
		return err
	}
	if from != p {
		return refuse("the hard link %s leads out of it", quote(name))
	}
	info, err := p.root.Lstat(old)
	if err != nil || !info.Mode().IsRegular() {
		return refuse("the hard link %s is to no file before it", quote(name))
	}
	f, err := p.root.Open(old)
	if err != nil {
		return p.diskError(name, err)
	}
	defer f.Close()
	return t.file(p, name, h, f)
}

// finish makes the links, and then the directories what they were: before
// that they may have been closed to us.
func (t *restoration) finish() error {
	for _, p := range t.places {
		for _, l := range p.links {
			if err := p.makeDir(path.Dir(l.name)); err != nil {
				return err
			}
			if err := p.root.Remove(l.name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return p.diskError(l.name, err)
			}
			if err := p.root.Symlink(l.target, l.name); err != nil {
				return p.diskError(l.name, err)
			}
		}
		for _, d := range slices.Backward(p.dirs) {
			if err := errors.Join(p.root.Chtimes(d.Name, time.Time{}, d.ModTime), p.root.Chmod(d.Name, fs.FileMode(d.Mode)&fs.ModePerm)); err != nil {
				return p.diskError(d.Name, err)
			}
		}
	}
	return nil
}

// damage tells an archive's fault from the disk's.
func (t *restoration) damage(err error) error {
	var pathErr *os.PathError
	var said *hop3.Error
	switch {
	case t.ctx.Err() != nil:
		return t.ctx.Err()
	case hop3.IsDiskFull(err), errors.As(err, &pathErr), errors.As(err, &said):
		return err
	}
	return refuse("it is damaged or cut off")
}
