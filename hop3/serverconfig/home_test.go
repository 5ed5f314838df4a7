package serverconfig

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestPrepareMakesTheHome(t *testing.T) {
	c := &Config{Home: filepath.Join(t.TempDir(), "deep", "home")}
	if err := Prepare(c); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"": 0o711, "apps": 0o711, "run": 0o700, "ssh": 0o700, "secret-key": 0o600} {
		info, err := os.Stat(filepath.Join(c.Home, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
	again := &Config{Home: c.Home}
	if err := Prepare(again); err != nil || !bytes.Equal(again.SecretKey, c.SecretKey) || len(c.SecretKey) < minSecret {
		t.Errorf("the second time: %v, %d bytes", err, len(again.SecretKey))
	}
	set := &Config{Home: c.Home, SecretKey: []byte("mine")}
	if err := Prepare(set); err != nil || string(set.SecretKey) != "mine" {
		t.Errorf("a secret that is set became %q, %v", set.SecretKey, err)
	}
}

func TestPrepareAtOnceMakesOneSecret(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	configs := make([]Config, 8)
	var wg sync.WaitGroup
	for i := range configs {
		configs[i].Home = home
		wg.Go(func() {
			if err := Prepare(&configs[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range configs {
		if !bytes.Equal(c.SecretKey, configs[0].SecretKey) {
			t.Error("two secrets were made")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(home, ".secret-key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPrepareRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil { // whatever the umask
		t.Fatal(err)
	}
	short, shared := t.TempDir(), t.TempDir()
	for dir, mode := range map[string]fs.FileMode{short: 0o600, shared: 0o644} {
		if err := os.WriteFile(filepath.Join(dir, "secret-key"), []byte("short"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	for home, want := range map[string]string{
		file:                      "Hop3 cannot use its home " + file + ": not a directory",
		filepath.Join(file, "in"): "not a directory",
		open:                      "everybody may write to the home",
		short:                     "is damaged: it has 5 bytes",
		shared:                    "can be read by others\nRun: chmod 600",
		"/proc/hop3":              "Hop3 cannot use its home /proc/hop3: no such file or directory\nChoose another",
	} {
		if err := Prepare(&Config{Home: home}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", home, err, want)
		}
	}
}

func TestOneServerOnAHome(t *testing.T) {
	c := &Config{Home: filepath.Join(t.TempDir(), "home")}
	if err := Prepare(c); err != nil {
		t.Fatal(err)
	}
	lock, err := LockHome(c.Home)
	if err != nil {
		t.Fatal(err)
	}
	_, err = LockHome(c.Home)
	if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "another Hop3 server (pid ") {
		t.Errorf("the second server got %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	lock, err = LockHome(c.Home)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}
