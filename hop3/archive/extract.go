package archive

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/abilian/hop3/hop3"
)

// maxHeader is what a member takes beside its content, on the average: headers
// and padding.
const maxHeader = 8 << 10

// extract unpacks into dir and empties it again on error.
func extract(ctx context.Context, r io.Reader, dir string, lim Limits) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, empty(root))
		}
	}()
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return refuse("it is not a tar.gz file")
	}
	x := extraction{ctx: ctx, root: root, left: lim.Unpacked, limits: lim}
	members := tar.NewReader(io.LimitReader(zipped, lim.Unpacked+int64(lim.Members+1)*maxHeader))
	for {
		h, err := members.Next()
		switch {
		case errors.Is(err, io.EOF):
			return x.makeLinks()
		case err != nil:
			return x.readError(err)
		}
		if err := x.member(h, members); err != nil {
			return err
		}
	}
}

// extraction is the state of one extract.
type extraction struct {
	ctx    context.Context
	root   *os.Root
	limits Limits
	left   int64 // bytes that may still be written
	count  int
	links  []link
}

// link is a symbolic link of the archive. Links are made last, so that no file
// can be written through one.
type link struct{ name, target string }

func (x *extraction) member(h *tar.Header, content io.Reader) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	if x.count++; x.count > x.limits.Members {
		return refuse("it has more than %d files", x.limits.Members)
	}
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil // git archive writes the commit's hash into one
	case tar.TypeDir:
		return x.makeDir(name)
	case tar.TypeReg:
		return x.writeFile(name, h, content)
	case tar.TypeSymlink:
		return x.addLink(name, h.Linkname)
	case tar.TypeLink:
		return refuse("%s is a hard link", quote(name))
	default:
		return refuse("%s is neither a file, a directory nor a symbolic link", quote(name))
	}
}

func (x *extraction) makeDir(name string) error {
	if name == "." {
		return nil
	}
	return x.diskError(name, x.root.MkdirAll(name, 0o755))
}

func (x *extraction) writeFile(name string, h *tar.Header, content io.Reader) error {
	if name == "." {
		return refuse("one of its files has no name")
	}
	if h.Size > x.left {
		return refuse("its files are larger than %d MB together", x.limits.Unpacked>>20)
	}
	mode := os.FileMode(0o644)
	if h.Mode&0o100 != 0 {
		mode = 0o755
	}
	if err := x.makeDir(path.Dir(name)); err != nil {
		return err
	}
	// The last of two members of one name counts, as with tar.
	if err := x.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return x.diskError(name, err)
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return x.diskError(name, err)
	}
	n, err := io.Copy(f, io.LimitReader(content, x.left+1))
	x.left -= n
	if closeErr := f.Close(); err == nil && closeErr != nil {
		return closeErr
	}
	if x.left < 0 {
		return refuse("its files are larger than %d MB together", x.limits.Unpacked>>20)
	}
	if err != nil {
		return x.readError(err)
	}
	return nil
}

func (x *extraction) addLink(name, target string) error {
	if name == "." || target == "" || strings.ContainsRune(target, 0) {
		return refuse("%s is a broken symbolic link", quote(name))
	}
	if path.IsAbs(target) || !inside(path.Join(path.Dir(name), target)) {
		return refuse("the symbolic link %s leads out of it, to %s", quote(name), quote(target))
	}
	x.links = append(x.links, link{name, target})
	return nil
}

// makeLinks makes the symbolic links, and then follows each: a link that is
// harmless by itself can lead out by way of another.
func (x *extraction) makeLinks() error {
	for _, l := range x.links {
		if err := x.makeDir(path.Dir(l.name)); err != nil {
			return err
		}
		if err := x.root.Remove(l.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return x.diskError(l.name, err)
		}
		if err := x.root.Symlink(l.target, l.name); err != nil {
			return x.diskError(l.name, err)
		}
	}
	for _, l := range x.links {
		_, err := x.root.Stat(l.name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return refuse("the symbolic link %s leads out of it, or nowhere", quote(l.name))
		}
	}
	return nil
}

// diskError tells what the archive did wrong from what the disk did.
func (x *extraction) diskError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hop3.Errorf(hop3.CodeUnavailable, "the server's disk is full: %w", err)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return refuse("the name %s is too long", quote(name))
	case errors.Is(err, os.ErrExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EISDIR):
		return refuse("%s is in it both as a file and as a directory", quote(name))
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return err
	default:
		return refuse("%s cannot be unpacked", quote(name))
	}
}

func (x *extraction) readError(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return x.diskError(pathErr.Path, err)
	}
	if ctxErr := x.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return refuse("it is damaged or cut off")
}

// empty deletes all that is in root.
func empty(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, root.RemoveAll(name))
	}
	return err
}
