package serverconfig

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// homeDirs are the directories of a home. What apps read must be reachable by
// users who may not list it.
var homeDirs = []struct {
	name string
	mode fs.FileMode
}{
	{"apps", 0o711},
	{"cache", 0o711},
	{"backups", 0o700},
	{"caddy", 0o700},
	{"log", 0o700},
	{"run", 0o700},
	{"run/streams", 0o700},
	{"ssh", 0o700},
}

// Prepare makes the home and its directories where they are missing, checks
// that they can be written, and sets c.SecretKey from the home when nothing
// else has set it, making one the first time. Doing it twice, also from two
// processes at once, changes nothing more.
func Prepare(c *Config) error {
	if err := makeHome(c.Home); err != nil {
		return err
	}
	if c.SecretKey != nil {
		return nil
	}
	key, err := loadSecret(filepath.Join(c.Home, "secret-key"))
	if err != nil {
		return err
	}
	c.SecretKey = key
	return nil
}

func makeHome(home string) error {
	if err := makeDir(home, 0o711); err != nil {
		return homeError(home, err)
	}
	info, err := os.Stat(home)
	if err != nil {
		return homeError(home, err)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return hop3.Errorf(hop3.CodeInvalid, "everybody may write to the home %s", home).
			WithHint("Choose another with --home or HOP3_HOME, or run: chmod o-w %s", home)
	}
	for _, d := range homeDirs {
		dir := filepath.Join(home, d.name)
		if err := makeDir(dir, d.mode); err != nil {
			return homeError(home, err)
		}
		if d.mode == 0o700 {
			// Sockets and keys lie here; a restored home may be too open.
			if err := os.Chmod(dir, d.mode); err != nil {
				return homeError(home, err)
			}
		}
	}
	probe, err := os.CreateTemp(filepath.Join(home, "run"), ".probe-*")
	if err != nil {
		return homeError(home, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// makeDir gives a new directory its mode whatever the umask is, and leaves an
// older one as it is.
func makeDir(dir string, mode fs.FileMode) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ENOTDIR}
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil // another process was faster
		}
		return err
	}
	return os.Chmod(dir, mode)
}

func homeError(home string, err error) error {
	why := err
	var path *fs.PathError
	if errors.As(err, &path) {
		why = path.Err
	}
	return &hop3.Error{
		Code: hop3.CodeUnavailable, Err: err,
		Message: fmt.Sprintf("Hop3 cannot use its home %s: %v", home, why),
		Hint:    "Choose another with --home or HOP3_HOME, or run Hop3 as the user who owns it.",
	}
}

// loadSecret reads the secret of a home, and makes it first when there is
// none.
func loadSecret(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSecret(path); err != nil {
			return nil, hop3.Errorf(hop3.CodeUnavailable, "cannot make the server's secret: %w", err)
		}
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "cannot read the server's secret: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "cannot read the server's secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the server's secret %s can be read by others", path).
			WithHint("Run: chmod 600 %s", path)
	}
	key, err := secret(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the server's secret %s is damaged: %w", path, err)
	}
	return key, nil
}

// makeSecret writes a new secret. The file appears complete, on the disk, or
// not at all; when another process makes one at once, the first one stays.
func makeSecret(path string) error {
	key := make([]byte, minSecret)
	_, _ = rand.Read(key)                                          // never fails
	tmp, err := os.CreateTemp(filepath.Dir(path), ".secret-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(base64.RawURLEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
