package tests

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// nixConfig needs nothing of outside, and builds as root of the namespaces.
const nixConfig = "substituters =\nbuild-users-group =\nsandbox = false\n"

// TestNix tells the stories of testdata/nix with the Nix that Debian has as
// nix-bin, its daemon, and a store of its own, in namespaces as TestDocker.
func TestNix(t *testing.T) {
	if os.Getenv(inNamespaces) == "" {
		t.Parallel()
		needsPrograms(t, "nix-build", "nix-store", "nix-daemon", "ip", "unshare")
		err := os.Mkdir("/nix", 0o755) // to mount on
		if err == nil {
			defer os.Remove("/nix")
		} else if !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		runInNamespaces(t)
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip: %v\n%s", err, out)
	}
	startNix(t)
	testscript.Run(t, storyParams("testdata/nix"))
}

// startNix starts Nix's daemon over a new store.
func startNix(t *testing.T) {
	t.Helper()
	store, config := t.TempDir(), t.TempDir()
	if err := os.Chmod(store, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "nix.conf"), []byte(nixConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(store, "/nix", "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NIX_CONF_DIR", config)
	log, err := os.Create(filepath.Join(config, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nix-daemon")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // its log says why
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("nix-daemon:\n%s", tail(text, 2000))
		}
		if err := syscall.Unmount("/nix", syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // between two looks
		if _, err := os.Stat("/nix/var/nix/daemon-socket/socket"); err == nil {
			return
		}
		select {
		case <-exited:
			t.Fatal("nix-daemon ended")
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("nix-daemon does not listen")
		}
	}
}
