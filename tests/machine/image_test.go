package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// recipe is all that the disk of a new machine is made of: of two that are
// equal, one is made.
type recipe struct {
	Suite, Mirror string // of this computer's own system, whose libraries hop3 is linked with
	Packages      []string
	Kernel        string
	Modules       []string
	Files         map[string]string
	Wanted        []string
	Without       []string // patterns of what is removed
}

// packages are what the machine has besides what every Debian has: systemd as
// its first process, and what Hop3 needs.
var packages = []string{"systemd-sysv", "udev", "dbus", "iproute2", "git", "ca-certificates", "uwsgi-core"}

// files are the machine's own settings.
var files = map[string]string{
	"etc/hostname":   "machine\n",
	"etc/machine-id": "0123456789abcdef0123456789abcdef\n",
	"etc/fstab":      "",
	// QEMU's network is always the same. Without a gateway no more can be
	// reached.
	"etc/systemd/network/10-machine.network": "[Match]\nName=en*\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
	// What the journal has can be read when the machine is gone.
	"etc/systemd/journald.conf.d/machine.conf": "[Journal]\nForwardToConsole=yes\nMaxLevelConsole=info\n",
	"etc/systemd/system/agent.service": fmt.Sprintf(`[Unit]
Description=Orders of the test

[Service]
User=root
Environment=PORT=%d
ExecStart=/usr/local/bin/agent
`, agentPort),
}

// wanted are services that the machine starts besides.
var wanted = []string{"etc/systemd/system/agent.service", "lib/systemd/system/systemd-networkd.service"}

// without is what takes room or time that the machine has a better use for.
var without = []string{
	"var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "usr/share/doc", "usr/share/man", "usr/share/locale",
	"etc/systemd/system/timers.target.wants", "etc/systemd/system/getty.target.wants", "etc/systemd/system/multi-user.target.wants/e2scrub_reap.service",
}

// copyImage makes a new machine's disk. It is made from packages once, and
// copied after that.
func copyImage(t *testing.T, k kernel, to string) error {
	t.Helper()
	r, err := newRecipe(k)
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "hop3-tests", "machine")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	image := filepath.Join(dir, fmt.Sprintf("%x.ext4", sha256.Sum256(text)))
	if _, err := os.Stat(image); err != nil {
		t.Logf("making %s from packages", image)
		if err := r.make(t.Context(), image); err != nil {
			return err
		}
	}
	return command(t.Context(), "cp", "--sparse=always", "--reflink=auto", image, to)
}

func newRecipe(k kernel) (*recipe, error) {
	r := &recipe{Packages: packages, Kernel: k.version, Modules: k.modules, Files: files, Wanted: wanted, Without: without}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(release)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			r.Suite = strings.Trim(name, `"`)
		}
	}
	targets, err := exec.Command("apt-get", "indextargets", "--no-release-info", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("asking apt for its mirror: %w", err)
	}
	for line := range strings.Lines(string(targets)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == r.Suite && f[1] == "main" {
			r.Mirror = f[2]
			return r, nil
		}
	}
	return nil, errors.New("apt has no mirror of this computer's own system")
}

// make makes the image, in the place of older ones.
func (r *recipe) make(ctx context.Context, image string) error {
	old, err := filepath.Glob(filepath.Join(filepath.Dir(image), "*.ext4"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "hop3-machine-")
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	err = r.fill(ctx, root)
	unfinished := image + ".new"
	if err == nil {
		err = command(ctx, "mkfs.ext4", "-q", "-F", "-d", root, unfinished, "2G")
	}
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	return os.Rename(unfinished, image)
}

// fill makes what is on the disk.
func (r *recipe) fill(ctx context.Context, root string) error {
	if err := command(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(r.Packages, ","), r.Suite, root, r.Mirror); err != nil {
		return err
	}
	for _, pattern := range r.Without {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	for name, text := range r.Files {
		if err := writeFile(filepath.Join(root, name), []byte(text)); err != nil {
			return err
		}
	}
	for _, unit := range r.Wanted {
		if err := os.Symlink("/"+unit, filepath.Join(root, "etc/systemd/system/multi-user.target.wants", filepath.Base(unit))); err != nil {
			return err
		}
	}
	return r.addModules(ctx, root)
}

func (r *recipe) addModules(ctx context.Context, root string) error {
	dir := filepath.Join("/lib/modules", r.Kernel)
	lists, err := filepath.Glob(filepath.Join(dir, "modules.builtin*"))
	if err != nil {
		return err
	}
	for _, file := range append(append(lists, filepath.Join(dir, "modules.order")), r.Modules...) {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(root, file), data); err != nil {
			return err
		}
	}
	return command(ctx, "depmod", "--basedir", root, r.Kernel)
}

// installAgent puts the agent on the machine's disk.
func (m *machine) installAgent(ctx context.Context) error {
	program, err := buildStatic(ctx, "agent", m.dir)
	if err != nil {
		return err
	}
	for _, request := range []string{
		"write " + program + " usr/local/bin/agent",
		"set_inode_field usr/local/bin/agent mode 0100755",
	} {
		if err := command(ctx, "debugfs", "-w", "-R", request, m.disk); err != nil {
			return err
		}
	}
	return nil
}

// command runs a program that says nothing where all is well. What it mounts is
// mounted for it alone, and gone with it.
func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
	}
	return nil
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
