package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Directories that belong to an app may hold anything, laid out while we work
// in them. So they are opened step by step from one that cannot be moved,
// without following symbolic links, and worked on by what was opened.

func closeFD(fd int) { _ = unix.Close(fd) }

// openBeneath opens what path leads to below root.
func openBeneath(root int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat2(root, path, &unix.OpenHow{
			Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return -1, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// makeBeneath opens a directory below root, and makes it, and its parents,
// when they are missing.
func makeBeneath(root int, path string) (fd int, made bool, err error) {
	path = filepath.Clean(path)
	fd, err = openBeneath(root, path, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || path == "." {
		return fd, false, err
	}
	parent, _, err := makeBeneath(root, filepath.Dir(path))
	if err != nil {
		return -1, false, err
	}
	defer closeFD(parent)
	err = unix.Mkdirat(parent, filepath.Base(path), 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, false, &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	made = err == nil
	fd, err = openBeneath(parent, filepath.Base(path), unix.O_PATH|unix.O_DIRECTORY)
	return fd, made, err
}

// open opens a directory of the home.
func (s *Sandbox) open(dir string) (int, error) {
	home, err := unix.Open(s.home, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: s.home, Err: err}
	}
	defer closeFD(home)
	return openBeneath(home, relative(s.home, dir), unix.O_RDONLY|unix.O_DIRECTORY)
}

// relative returns path, which is base or below it, as seen from there.
func relative(base, path string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimSuffix(base, "/")), "/")
	if rel == "" {
		return "."
	}
	return rel
}

// below reports whether path is base or below it.
func below(base, path string) bool {
	return path == base || strings.HasPrefix(path, strings.TrimSuffix(base, "/")+"/")
}

// dirOwner is whose a directory is to be; -1 leaves what is there as it is.
type dirOwner struct {
	uid, gid int
	mode     uint32
}

// makeDir makes a directory of the home, and its parents, when they are
// missing, and sees to whose it is.
func (s *Sandbox) makeDir(dir string, o dirOwner) error {
	home, err := unix.Open(s.home, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: s.home, Err: err}
	}
	defer closeFD(home)
	place, made, err := makeBeneath(home, relative(s.home, dir))
	if err != nil {
		return err
	}
	defer closeFD(place)
	if !made && o.uid < 0 && o.gid < 0 {
		return nil
	}
	fd, err := openBeneath(place, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return own(fd, o)
}

// own makes an open directory somebody's, when it is not.
func own(fd int, o dirOwner) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if o.uid >= 0 && int(st.Uid) != o.uid || o.gid >= 0 && int(st.Gid) != o.gid {
		if err := unix.Fchown(fd, o.uid, o.gid); err != nil {
			return fmt.Errorf("changing the owner: %w", err)
		}
	}
	if st.Mode&0o7777 != o.mode {
		if err := unix.Fchmod(fd, o.mode); err != nil {
			return fmt.Errorf("changing the mode: %w", err)
		}
	}
	return nil
}

// maxDepth bounds how deep a tree is followed: each level costs an open file.
const maxDepth = 500

// giveTree gives an open directory and all that is in it to a user. The
// directory itself comes last: when it is the user's, so is the rest.
func giveTree(fd, uid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) == uid && int(st.Gid) == uid {
		return nil
	}
	return giveBelow(fd, uid, uint64(st.Dev), maxDepth)
}

func giveBelow(fd, uid int, device uint64, depth int) error {
	if depth == 0 {
		return fmt.Errorf("directories are nested more than %d deep", maxDepth)
	}
	list, err := openBeneath(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(list), "")
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			if err := giveEntry(fd, name, uid, device, depth); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return unix.Fchown(fd, uid, uid)
		}
		if err != nil {
			return err
		}
	}
}

// giveEntry gives one entry away: a symbolic link itself, not what it leads
// to, and nothing of another file system. A file with more names than this one
// may have them elsewhere, where it is not the app's.
func giveEntry(dir int, name string, uid int, device uint64, depth int) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer closeFD(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case uint64(st.Dev) != device:
		return nil
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		open, err := openBeneath(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer closeFD(open)
		return giveBelow(open, uid, device, depth-1)
	case st.Nlink > 1 || int(st.Uid) == uid && int(st.Gid) == uid:
		return nil
	}
	return unix.Fchownat(fd, "", uid, uid, unix.AT_EMPTY_PATH)
}

// openWay lets the app's group into the server's directories in an app's own,
// two levels deep: the server makes them closed to other users, and a release
// may have been built before there was isolation.
func (s *Sandbox) openWay(appDir string, gid int) error {
	fd, err := s.open(appDir)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return openLevel(fd, gid, 2)
}

func openLevel(fd, gid, levels int) error {
	list, err := openBeneath(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(list), "")
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == tmpDir {
			continue
		}
		err := openEntry(fd, e.Name(), gid, levels)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// openEntry is openLevel for one directory, when it is the server's.
func openEntry(parent int, name string, gid, levels int) error {
	fd, err := openBeneath(parent, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || int(st.Uid) != os.Geteuid() {
		return err
	}
	if err := own(fd, dirOwner{-1, gid, st.Mode&0o7777 | 0o050}); err != nil || levels == 1 {
		return err
	}
	return openLevel(fd, gid, levels-1)
}
