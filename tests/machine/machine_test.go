// Package machine runs Hop3 on a machine of its own: an emulated one, with a
// kernel, systemd and control groups v2, that starts the server from the units
// of docs/server.md, is rebooted, and loses its power.
package machine

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// machine is an emulated computer. Nothing but the ports below leads into it,
// and nothing out of it.
type machine struct {
	dir     string // holds all it is made of
	kernel  kernel
	disk    string // a file
	console string // a file: what the machine printed, with its journal
	ports   ports  // others each time it is switched on
	key     string // file of the key that may push

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// newMachine makes a machine with a fresh disk, and switches it off at the
// test's end. A test that fails prints what the machine last did.
func newMachine(t *testing.T) *machine {
	t.Helper()
	k := needs(t)
	dir := t.TempDir()
	m := &machine{
		dir: dir, kernel: k,
		disk: filepath.Join(dir, "disk"), console: filepath.Join(dir, "console"), key: filepath.Join(dir, "key"),
	}
	if err := copyImage(t, k, m.disk); err != nil {
		missing(t, "the machine's disk cannot be made: %v", err)
	}
	if err := m.installAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", m.key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		m.cutPower()
		if t.Failed() {
			t.Logf("the machine's console:\n%s", tail(m.console, 16_000))
		}
	})
	return m
}

// powerOn switches the machine on and waits until all that it starts has
// started.
func (m *machine) powerOn(t *testing.T) {
	t.Helper()
	monitor, err := net.Listen("unix", filepath.Join(m.dir, "monitor"))
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	// Without acceleration: that a computer has /dev/kvm does not mean that
	// a machine runs on it. A flush need not reach our own disk: it is not
	// our power that is cut. Emulation is slow after a reset: at a reboot it
	// ends, and begins again.
	cmd := exec.Command("qemu-system-x86_64",
		"-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "512",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "chardev:console",
		"-chardev", "file,id=console,append=on,path="+m.console,
		"-kernel", m.kernel.image, "-append", "console=ttyS0 root=/dev/nvme0n1 rw panic=-1 quiet",
		"-drive", "file="+m.disk+",format=raw,if=none,id=root,cache=unsafe", "-device", "nvme,drive=root,serial=root",
		"-nic", "user,model=virtio-net-pci"+m.ports.forward(),
		"-chardev", "socket,id=monitor,path="+monitor.Addr().String(), "-mon", "monitor")
	said, err := os.Create(filepath.Join(m.dir, "qemu"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	m.cmd, m.exited = cmd, make(chan struct{})
	if err := startForLife(cmd, m.exited); err != nil {
		t.Fatal(err)
	}
	if err := m.ports.read(monitor); err != nil {
		m.cutPower()
		t.Fatalf("qemu does not say which its ports are: %v\n%s", err, tail(said.Name(), 4000))
	}
	m.eventually(t, "the machine has started", func() error {
		select {
		case <-m.exited:
			t.Fatalf("qemu ended: %v\n%s", cmd.ProcessState, tail(said.Name(), 4000))
		default:
		}
		state, _, err := m.try("systemctl", "is-system-running", "--wait")
		if err == nil && state != "running\n" {
			failed, _, _ := m.try("systemctl", "--failed")
			err = fmt.Errorf("it is %q\n%s", state, failed)
		}
		return err
	})
}

// startForLife starts a program that does not outlive this one, however this
// one ends, and closes exited when it has ended. It is the thread that starts a
// program which the kernel counts as its parent: this one waits for it.
func startForLife(cmd *exec.Cmd, exited chan struct{}) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
		}
	}()
	return <-started
}

// cutPower ends the machine as a power cut does.
func (m *machine) cutPower() {
	if m.cmd == nil || m.cmd.Process == nil {
		return
	}
	_ = m.cmd.Process.Kill() // it may have ended
	<-m.exited
}

// build builds the programs that run in the machine: hop3 as it is released,
// and the app.
func (m *machine) build(t *testing.T) (hop3, app string) {
	t.Helper()
	if err := noteSources(t.Context()); err != nil {
		t.Fatal(err)
	}
	hop3, err := subject.Build(t.Context(), m.dir)
	if err != nil {
		t.Fatal(err)
	}
	app, err = buildStatic(t.Context(), "app", m.dir)
	if err != nil {
		t.Fatal(err)
	}
	return hop3, app
}

// noteSources looks at the sources of what is built here. A test that has passed
// is run again only when it is built of something else, or what it has looked at
// has changed.
func noteSources(ctx context.Context) error {
	const ours = "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"
	out, err := exec.CommandContext(ctx, "go", "list", "-deps", "-f", ours, "../../cmd/hop3", "./agent", "./app").Output()
	if err != nil {
		return fmt.Errorf("listing the sources: %w", err)
	}
	for _, dir := range strings.Fields(string(out)) {
		if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	_, err = os.Stat("../../go.sum")
	return err
}

// buildStatic builds one of this directory's programs, for any Linux.
func buildStatic(ctx context.Context, name, dir string) (program string, err error) {
	program = filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the %s: %w\n%s", name, err, out)
	}
	return program, nil
}

// patience is how long any one thing may take in the machine. It is slow, and
// what it runs on is busy.
const patience = 3 * time.Minute

// eventually waits until ok returns nil.
func (m *machine) eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	began := time.Now()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("it did not come true in %s that %s: %v", patience, what, err)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}

// tail is the end of a file.
func tail(file string, size int64) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > size {
		if _, err := f.Seek(-size, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
