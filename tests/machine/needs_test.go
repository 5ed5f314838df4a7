package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// kernel is a kernel of this computer's that can run the machine.
type kernel struct {
	version string
	image   string // a file
	modules []string
}

// needs finds what the test needs of this computer, and skips it where
// something is missing. tests/run installs it.
func needs(t *testing.T) kernel {
	t.Helper()
	if testing.Short() {
		t.Skip("it emulates a machine, which takes minutes")
	}
	if runtime.GOARCH != "amd64" {
		missing(t, "the machine is an amd64, this computer an %s", runtime.GOARCH)
	}
	if os.Geteuid() != 0 {
		missing(t, "only root can make the machine's disk, by debootstrap")
	}
	for _, program := range []string{"qemu-system-x86_64", "debootstrap", "mkfs.ext4", "debugfs", "modprobe", "depmod"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "there is no %s", program)
		}
	}
	return findKernel(t)
}

// missing ends the test for want of something: where all is tested, it must not
// pass for a test that was run.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// builtIn is what a kernel must have in itself: the machine starts without an
// initial RAM disk, which would take it as long again.
var builtIn = []string{"CONFIG_BLK_DEV_NVME=y", "CONFIG_EXT4_FS=y", "CONFIG_SERIAL_8250_CONSOLE=y"}

// findKernel returns the newest kernel of those installed that will do:
// Debian's linux-image-cloud-amd64 has them.
func findKernel(t *testing.T) kernel {
	t.Helper()
	configs, err := filepath.Glob("/boot/config-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range slices.Backward(configs) {
		k := kernel{version: strings.TrimPrefix(config, "/boot/config-")}
		k.image = "/boot/vmlinuz-" + k.version
		text, err := os.ReadFile(config)
		if err != nil || !hasAll(string(text), builtIn) {
			continue
		}
		if _, err := os.Stat(k.image); err != nil {
			continue
		}
		if k.modules, err = modulesFor(k.version, "virtio_pci", "virtio_net"); err == nil {
			return k
		}
	}
	missing(t, "no kernel in /boot can run the machine; linux-image-cloud-amd64 can")
	return kernel{}
}

func hasAll(text string, lines []string) bool {
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			return false
		}
	}
	return true
}

// modulesFor returns the files of kernel modules, with those that they need.
func modulesFor(version string, names ...string) (files []string, err error) {
	for _, name := range names {
		out, err := exec.Command("modprobe", "--show-depends", "--set-version", version, name).Output()
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			// "insmod <file> <options>", or "builtin <name>".
			if f := strings.Fields(line); len(f) > 1 && f[0] == "insmod" && !slices.Contains(files, f[1]) {
				files = append(files, f[1])
			}
		}
	}
	return files, nil
}
