package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git/hook"
)

// hookScript is what git runs: it starts the executable, linked beside it under
// the hook's name, without the memory limit that git passes on to its children.
// A Go program does not get to its main below a limit meant for git. It ends too
// soon to collect garbage.
const hookScript = `#!/bin/sh
ulimit -S -d "$(ulimit -H -d)"
GOGC=off exec "${0%/*}/bin/` + hook.Name + `"
`

func (r *Repositories) hooksDir() string { return filepath.Join(r.home, "hooks") }
func (r *Repositories) hookPath() string { return filepath.Join(r.hooksDir(), hook.Name) }
func (r *Repositories) hookLink() string { return filepath.Join(r.hooksDir(), "bin", hook.Name) }

// installHook puts the script and the link to the executable in place.
func (r *Repositories) installHook() error {
	if err := os.MkdirAll(filepath.Dir(r.hookLink()), 0o755); err != nil {
		return err
	}
	if target, err := os.Readlink(r.hookLink()); err != nil || target != r.cfg.Executable {
		err := replace(r.hookLink(), func(tmp string) error { return os.Symlink(r.cfg.Executable, tmp) })
		if err != nil {
			return err
		}
	}
	if data, err := os.ReadFile(r.hookPath()); err == nil && string(data) == hookScript && r.checkHook() == nil {
		return nil
	}
	return replace(r.hookPath(), func(tmp string) error {
		if err := os.WriteFile(tmp, []byte(hookScript), 0o755); err != nil {
			return err
		}
		return os.Chmod(tmp, 0o755) // whatever the umask
	})
}

// replace makes a file beside its place and renames it there.
func replace(path string, create func(tmp string) error) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := create(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// checkHook returns an error when git would not find the hook, which would have
// it take the push without asking anybody, or the hook not its executable.
func (r *Repositories) checkHook() error {
	for _, path := range []string{r.hookPath(), r.hookLink()} {
		if err := unix.Access(path, unix.X_OK); err != nil {
			return hop3.Errorf(hop3.CodeUnavailable, "the server cannot take pushes now: its git hook does not run").
				WithHint("Restart the server (%s).", fmt.Errorf("%s: %w", path, err))
		}
	}
	return nil
}
