package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What is shown of the home to processes, and with which flags.
const (
	readWrite = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	readOnly  = readWrite | unix.MOUNT_ATTR_RDONLY
)

// hidden are directories that only the server needs.
var hidden = []string{"/etc/hop3"}

// shmSize bounds /dev/shm, which takes memory of the app's limit.
const shmSize = "64m"

// flat is the view of code of ours that works for the app: all of its
// directory is one mount, so that files can be moved within it. Who may write
// where is left to the files' modes.
func (v *View) flat() *View {
	return &View{Home: v.Home, AppDir: v.AppDir, Tmp: v.Tmp, ReadOnly: v.ReadOnly, Passwd: v.Passwd, Group: v.Group, one: true}
}

// enter takes this thread into a mount namespace of its own with this view.
// Nothing of it shows outside; what is mounted outside later shows inside.
func (v *View) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("leaving the host's mounts: %w", err)
	}
	b := &viewBuilder{view: v}
	defer b.close()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"collecting what the app may see", b.collect},
		{"mounting /tmp", b.tmp},
		{"covering the home", b.cover},
		{"showing the app's directories", b.show},
		{"mounting /dev/shm", b.shm},
		{"mounting /proc", b.proc},
		{"showing the app's user", b.users},
		{"hiding the server's configuration", b.hide},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	// The old working directory may lie under a cover.
	return unix.Chdir("/")
}

// viewBuilder is a view in the making.
type viewBuilder struct {
	view  *View
	tmps  [2]int // trees of the app's /tmp and /var/tmp
	shown []tree
	extra []tree // users
	home  int    // what covers the home
	root  string // where it is mounted: the home or above it
	files []int
}

// tree is a mount that is attached nowhere yet.
type tree struct {
	path string // where it is to be seen
	fd   int
}

func (b *viewBuilder) close() {
	for _, fd := range b.files {
		closeFD(fd)
	}
}

// keep closes fd at the end.
func (b *viewBuilder) keep(fd int, err error) (int, error) {
	if err == nil {
		b.files = append(b.files, fd)
	}
	return fd, err
}

// collect clones what is to be seen, before anything is covered.
func (b *viewBuilder) collect() error {
	v := b.view
	home, err := b.keep(unix.Open(v.Home, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return &fs.PathError{Op: "open", Path: v.Home, Err: err}
	}
	for i := range b.tmps {
		if b.tmps[i], err = b.clone(home, v.Tmp, readWrite); err != nil {
			return err
		}
	}
	add := func(to *[]tree, at, path string, attr uint64) {
		if err == nil {
			var fd int
			fd, err = b.clone(home, path, attr)
			*to = append(*to, tree{path: at, fd: fd})
		}
	}
	appDir := uint64(readOnly)
	if v.one {
		appDir = readWrite
	}
	add(&b.shown, v.AppDir, v.AppDir, appDir)
	for _, path := range v.ReadOnly {
		add(&b.shown, path, path, readOnly)
	}
	for _, path := range v.Writable {
		add(&b.shown, path, path, readWrite)
	}
	for _, m := range v.Mounts {
		if err == nil {
			var fd int
			fd, err = b.mount(m)
			b.shown = append(b.shown, tree{path: m.Path, fd: fd})
		}
	}
	add(&b.extra, "/etc/passwd", v.Passwd, readOnly)
	add(&b.extra, "/etc/group", v.Group, readOnly)
	// A directory comes before what is in it.
	slices.SortStableFunc(b.shown, func(a, c tree) int { return cmp.Compare(len(a.path), len(c.path)) })
	return err
}

// clone copies the mount of a path of the home.
func (b *viewBuilder) clone(home int, path string, attr uint64) (int, error) {
	at, err := openBeneath(home, relative(b.view.Home, path), unix.O_PATH)
	if err != nil {
		return -1, err
	}
	defer closeFD(at)
	return b.cloneOf(at, path, attr)
}

// cloneOf copies the mount of an open directory or file.
func (b *viewBuilder) cloneOf(at int, path string, attr uint64) (int, error) {
	fd, err := b.keep(unix.OpenTree(at, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE))
	if err != nil {
		return -1, fmt.Errorf("cloning %s: %w", path, err)
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attr})
	if err != nil {
		return -1, fmt.Errorf("restricting %s: %w", path, err)
	}
	return fd, nil
}

// attach mounts a tree on an open directory or file.
func attach(treeFD, on int) error {
	return unix.MoveMount(treeFD, "", on, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// attachAt mounts a tree on a path of the host and returns what is there then.
// A path that is not there is left alone.
func (b *viewBuilder) attachAt(treeFD int, path string) (int, error) {
	on, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return -1, nil
	}
	if err == nil {
		err = attach(treeFD, on)
		closeFD(on)
	}
	if err != nil {
		return -1, fmt.Errorf("mounting on %s: %w", path, err)
	}
	return b.keep(unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0))
}

// memory makes a file system in memory; options are names and values.
func (b *viewBuilder) memory(mode, size string, options ...string) (int, error) {
	maker, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("making a tmpfs: %w", err)
	}
	defer closeFD(maker)
	options = append([]string{"mode", mode, "size", size}, options...)
	for i := 0; i < len(options); i += 2 {
		err = errors.Join(err, unix.FsconfigSetString(maker, options[i], options[i+1]))
	}
	if err = errors.Join(err, unix.FsconfigCreate(maker)); err != nil {
		return -1, fmt.Errorf("making a tmpfs: %w", err)
	}
	return b.keep(unix.Fsmount(maker, unix.FSMOUNT_CLOEXEC, readWrite|unix.MOUNT_ATTR_NOEXEC))
}

func (b *viewBuilder) tmp() error {
	for i, path := range []string{"/tmp", "/var/tmp"} {
		if _, err := b.attachAt(b.tmps[i], path); err != nil {
			return err
		}
	}
	return nil
}

// cover puts an empty directory over the home, or over the first directory
// above it that the app's user could not enter: of that it sees nothing anyway.
func (b *viewBuilder) cover() error {
	empty, err := b.memory("0755", "1m")
	if err != nil {
		return err
	}
	b.root = b.view.Home
	for _, tmp := range []string{"/tmp", "/var/tmp"} {
		if below(tmp, b.root) {
			return b.coverIn(tmp, empty)
		}
	}
	for dir := b.root; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode()&0o001 == 0 {
			b.root = dir
		}
	}
	b.home, err = b.attachAt(empty, b.root)
	return err
}

// coverIn covers a home in a directory for temporary files, which the app sees
// as its own, empty one.
func (b *viewBuilder) coverIn(tmp string, empty int) error {
	top, err := b.keep(unix.Open(tmp, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return &fs.PathError{Op: "open", Path: tmp, Err: err}
	}
	rel := relative(tmp, b.root)
	on, _, err := makeBeneath(top, rel)
	if err != nil {
		return err
	}
	err = attach(empty, on)
	closeFD(on)
	if err == nil {
		b.home, err = b.keep(openBeneath(top, rel, unix.O_PATH|unix.O_DIRECTORY))
	}
	return err
}

// show makes the way to each directory and mounts it there.
func (b *viewBuilder) show() error {
	for _, t := range b.shown {
		on, _, err := makeBeneath(b.home, relative(b.root, t.path))
		if err != nil {
			return err
		}
		err = attach(t.fd, on)
		closeFD(on)
		if err != nil {
			return fmt.Errorf("mounting %s: %w", t.path, err)
		}
	}
	return unix.MountSetattr(b.home, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: readOnly})
}

func (b *viewBuilder) shm() error {
	fd, err := b.memory("1777", shmSize)
	if err == nil {
		_, err = b.attachAt(fd, "/dev/shm")
	}
	return err
}

// proc shows the processes of the app's user alone.
func (b *viewBuilder) proc() error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return unix.Mount("proc", "/proc", "proc", flags, "hidepid=invisible")
}

func (b *viewBuilder) users() error {
	for _, t := range b.extra {
		if _, err := b.attachAt(t.fd, t.path); err != nil {
			return err
		}
	}
	return nil
}

func (b *viewBuilder) hide() error {
	for _, dir := range hidden {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || strings.HasPrefix(b.view.Home, dir+"/") {
			continue
		}
		fd, err := b.memory("0755", "1m")
		if err == nil {
			_, err = b.attachAt(fd, dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
