package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// Mount is a volume in a view: a file system in memory, or, with a Root, a
// directory of the host.
type Mount struct {
	Path string // absolute, in the app's directory
	// In memory: what it holds, and whose it is. It is made with the view, so
	// that every process that is started has its own, which goes with the
	// last process that sees it.
	Size int64  `json:",omitempty"` // bytes
	Mode uint32 `json:",omitempty"`
	UID  int    `json:",omitempty"`
	// Of the host: Root is the directory that the server's admin allows, Sub a
	// path below it, on which no symbolic link is followed.
	Root     string `json:",omitempty"`
	Sub      string `json:",omitempty"`
	ReadOnly bool   `json:",omitempty"`
}

// tmpfsMode is the mode of a volume in memory that says none.
const tmpfsMode = 0o750

// mounts returns what the volumes of a place are. A directory of the host that
// the admin does not allow is a CodeForbidden error.
func (s *Sandbox) mounts(spec Spec, uid int) ([]Mount, error) {
	var all []Mount
	for _, v := range spec.Volumes {
		if err := hop3.ValidateVolumeTarget(v.Target); err != nil {
			return nil, err
		}
		dir, err := s.inHome(spec.Dir)
		if err != nil {
			return nil, err
		}
		m := Mount{Path: filepath.Join(dir, filepath.FromSlash(v.Target))}
		switch v.Kind {
		case hop3.VolumeTmpfs:
			m.Size, m.Mode, m.UID = v.Size, v.Mode, uid
			if m.Mode == 0 {
				m.Mode = tmpfsMode
			}
			if m.Size <= 0 {
				return nil, fmt.Errorf("the volume '%s' has no size", v.Name)
			}
		case hop3.VolumeBind:
			if err := s.bind(v, &m); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("a volume of type %q cannot be mounted", v.Kind)
		}
		all = append(all, m)
	}
	return all, nil
}

// bind finds the host's directory of a volume. What is above or in the
// server's home is never an app's, whatever the admin allows.
func (s *Sandbox) bind(v hop3.Volume, m *Mount) error {
	if err := hop3.ValidateBindSource(v.Source); err != nil {
		return err
	}
	rule, ok := hop3.AllowedBind(s.binds, v.Source)
	if !ok {
		return hop3.Errorf(hop3.CodeForbidden, "the volume '%s' is %s of the host, which this server does not let apps have", v.Name, v.Source).
			WithHint("The server's admin can allow it with VOLUMES_BIND_ALLOW.")
	}
	// The admin's own path may lead over links; what follows belongs to
	// whoever may write there.
	root, err := filepath.EvalSymlinks(rule.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return hop3.Errorf(hop3.CodeConflict, "the host has no directory %s, which the volume '%s' is", rule.Path, v.Name)
	}
	if err != nil {
		return fmt.Errorf("finding %s: %w", rule.Path, err)
	}
	if below(s.home, root) || below(root, s.home) {
		return hop3.Errorf(hop3.CodeForbidden, "the volume '%s' is %s of the host, which holds, or is in, the server's own home", v.Name, rule.Path)
	}
	m.Root, m.Sub, m.ReadOnly = root, relative(rule.Path, v.Source), v.ReadOnly || rule.ReadOnly
	fd, err := openSource(*m)
	if err != nil {
		return hop3.Errorf(hop3.CodeConflict, "the volume '%s' cannot be %s of the host: %w", v.Name, v.Source, err).
			WithHint("It must be a directory, and below %s no symbolic link may lead to it.", rule.Path)
	}
	closeFD(fd)
	return nil
}

// openSource opens the host's directory of a mount.
func openSource(m Mount) (int, error) {
	root, err := unix.Open(m.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: m.Root, Err: err}
	}
	defer closeFD(root)
	return openBeneath(root, m.Sub, unix.O_PATH|unix.O_DIRECTORY)
}

// mount makes the tree of a volume. Its size bounds the files in memory too:
// an empty one costs the kernel as well.
func (b *viewBuilder) mount(m Mount) (int, error) {
	if m.Root == "" {
		id := strconv.Itoa(m.UID)
		files := strconv.FormatInt(max(64, m.Size>>10), 10)
		return b.memory(fmt.Sprintf("%04o", m.Mode), strconv.FormatInt(m.Size, 10), "uid", id, "gid", id, "nr_inodes", files)
	}
	at, err := openSource(m)
	if err != nil {
		return -1, err
	}
	defer closeFD(at)
	attr := uint64(readWrite)
	if m.ReadOnly {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	return b.cloneOf(at, m.Root, attr)
}
