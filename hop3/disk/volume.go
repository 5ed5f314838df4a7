package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/abilian/hop3/hop3"
)

const volumeMode = 0o750

// Volume works below two directories that hold what an app's own commands made
// of them: each is a Root, so that no link leads out.
func (Files) Volume(volumes, source string, v hop3.Volume) (err error) {
	if err := errors.Join(hop3.ValidateVolumeName(v.Name), hop3.ValidateVolumeTarget(v.Target)); err != nil {
		return err
	}
	if v.Mounted() {
		return mountPoint(source, v.Target)
	}
	if err := os.MkdirAll(volumes, volumeMode); err != nil {
		return err
	}
	to, err := os.OpenRoot(volumes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	from, err := os.OpenRoot(source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()

	shipped, err := from.Lstat(v.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		shipped = nil
	case err != nil:
		return fmt.Errorf("looking for %s in the source: %w", v.Target, err)
	case !shipped.IsDir():
		return fmt.Errorf("%s in the source is no directory", v.Target)
	}
	if err := makeVolume(to, from, v, shipped != nil); err != nil {
		return err
	}
	if err := from.RemoveAll(v.Target); err != nil {
		return fmt.Errorf("replacing %s: %w", v.Target, err)
	}
	if err := from.MkdirAll(path.Dir(v.Target), 0o755); err != nil {
		return fmt.Errorf("making the place of %s: %w", v.Target, err)
	}
	return from.Symlink(filepath.Join(volumes, v.Name), v.Target)
}

// makeVolume makes the volume when there is none: complete under another name
// first, because a crash must not leave half of what the app shipped.
func makeVolume(to, from *os.Root, v hop3.Volume, shipped bool) error {
	mode := fs.FileMode(v.Mode)
	info, err := to.Lstat(v.Name)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("the volume %s is no directory", v.Name)
	case err == nil && mode != 0 && info.Mode().Perm() != mode:
		return to.Chmod(v.Name, mode)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if mode == 0 {
		mode = volumeMode
	}
	fresh := "." + v.Name + ".new" // no volume's name begins with a dot
	if err := to.RemoveAll(fresh); err != nil {
		return err
	}
	c := copying{to: to, from: from}
	if c.uid, c.gid, err = owner(to); err != nil {
		return err
	}
	if shipped {
		err = c.tree(v.Target, fresh)
	} else {
		err = errors.Join(to.Mkdir(fresh, 0o700), c.give(fresh))
	}
	if err != nil {
		return fmt.Errorf("filling the volume %s: %w", v.Name, err)
	}
	if err := to.Chmod(fresh, mode); err != nil {
		return err
	}
	return to.Rename(fresh, v.Name)
}

// owner is whose the volumes are: the app's user's, once its processes have a
// user of their own.
func owner(dir *os.Root) (uid, gid int, err error) {
	info, err := dir.Stat(".")
	if err != nil {
		return 0, 0, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return int(st.Uid), int(st.Gid), nil
	}
	return -1, -1, nil
}

// copying copies a tree from one directory to another, to be its owner's.
type copying struct {
	to, from *os.Root
	uid, gid int // -1: they stay as they are
}

func (c *copying) tree(top, into string) error {
	return fs.WalkDir(c.from.FS(), top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		copied := into + name[len(top):]
		switch {
		case d.IsDir():
			err = c.to.Mkdir(copied, info.Mode().Perm()|0o700)
		case d.Type()&fs.ModeSymlink != 0:
			err = c.link(name, copied)
		case d.Type().IsRegular():
			err = c.file(name, copied)
		default:
			return nil // sockets and the like are no content
		}
		return errors.Join(err, c.give(copied))
	})
}

func (c *copying) give(name string) error {
	if c.uid < 0 {
		return nil
	}
	return c.to.Lchown(name, c.uid, c.gid)
}

func (c *copying) link(name, copied string) error {
	target, err := c.from.Readlink(name)
	if err != nil {
		return err
	}
	return c.to.Symlink(target, copied)
}

// file copies a regular file. What became a pipe since it was looked at is not
// waited for.
func (c *copying) file(name, copied string) (err error) {
	in, err := c.from.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file any more", name)
	}
	out, err := c.to.OpenFile(copied, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// mountPoint makes the directory at target, on a way without links: where it
// is mounted on later, none is followed.
func mountPoint(source, target string) (err error) {
	from, err := os.OpenRoot(source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if err := from.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("making the place of %s: %w", target, err)
	}
	for part := target; part != "."; part = path.Dir(part) {
		info, err := from.Lstat(part)
		if err != nil {
			return fmt.Errorf("looking for %s in the source: %w", part, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("%s in the source is no directory", part)
		}
	}
	return nil
}
