package disk_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/disk"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	do(t, os.MkdirAll(filepath.Dir(name), 0o755))
	do(t, os.WriteFile(name, []byte(text), 0o644))
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	do(t, err)
	return string(text)
}

// Releases share a volume; only the first one's content gets into it.
func TestVolume(t *testing.T) {
	base := t.TempDir()
	volumes := filepath.Join(base, "volumes")
	v := hop3.Volume{Name: "up", Target: "public/uploads", Mode: 0o700}
	for _, release := range []string{"one", "two", "three"} {
		source := filepath.Join(base, release)
		do(t, os.MkdirAll(source, 0o755))
		if release != "three" { // which ships nothing there
			write(t, filepath.Join(source, v.Target, "deep", "file"), release)
			do(t, os.Symlink("deep/file", filepath.Join(source, v.Target, "link")))
			do(t, syscall.Mkfifo(filepath.Join(source, v.Target, "pipe"), 0o600))
		}
		do(t, disk.Files{}.Volume(volumes, source, v))
		if to, err := os.Readlink(filepath.Join(source, v.Target)); to != filepath.Join(volumes, "up") {
			t.Errorf("%s has a link to %q, %v", release, to, err)
		}
		if got := read(t, filepath.Join(source, v.Target, "link")); got != "one" {
			t.Errorf("%s finds %q", release, got)
		}
	}
	info, err := os.Stat(filepath.Join(volumes, "up"))
	do(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the mode is %v", info.Mode())
	}
	if names, _ := (disk.Files{}).List(volumes); len(names) != 1 {
		t.Errorf("there is more than the volume: %v", names)
	}
}

// What a crash left half full is begun again.
func TestVolume_AfterACrash(t *testing.T) {
	base := t.TempDir()
	volumes, source := filepath.Join(base, "volumes"), filepath.Join(base, "one")
	write(t, filepath.Join(volumes, ".up.new", "half"), "old")
	write(t, filepath.Join(source, "up", "file"), "new")
	do(t, disk.Files{}.Volume(volumes, source, hop3.Volume{Name: "up", Target: "up"}))
	if names, _ := (disk.Files{}).List(filepath.Join(volumes, "up")); strings.Join(names, " ") != "file" {
		t.Errorf("the volume has %v", names)
	}
}

// Whatever the app put into its source or its volumes, nothing outside of them
// is read or written.
func TestVolume_NeverLeadsOutside(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(source, volumes, outside string) error
		v       hop3.Volume
	}{
		"a link above the target":      {func(s, _, o string) error { return os.Symlink(o, filepath.Join(s, "a")) }, hop3.Volume{Name: "v", Target: "a/b"}},
		"a link at the target":         {func(s, _, o string) error { return os.Symlink(o, filepath.Join(s, "a")) }, hop3.Volume{Name: "v", Target: "a"}},
		"a file at the target":         {func(s, _, _ string) error { return os.WriteFile(filepath.Join(s, "a"), nil, 0o644) }, hop3.Volume{Name: "v", Target: "a"}},
		"a file above the target":      {func(s, _, _ string) error { return os.WriteFile(filepath.Join(s, "a"), nil, 0o644) }, hop3.Volume{Name: "v", Target: "a/b"}},
		"a link in the volume's place": {func(_, v, o string) error { return os.Symlink(o, filepath.Join(v, "v")) }, hop3.Volume{Name: "v", Target: "a"}},
		"a link where it is filled":    {func(_, v, o string) error { return os.Symlink(o, filepath.Join(v, "v")) }, hop3.Volume{Name: "v", Target: "a", Mode: 0o777}},
		"a target that climbs":         {func(_, _, _ string) error { return nil }, hop3.Volume{Name: "v", Target: "../outside"}},
		"a name that climbs":           {func(_, _, _ string) error { return nil }, hop3.Volume{Name: "../outside", Target: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			source, volumes, outside := filepath.Join(base, "source"), filepath.Join(base, "volumes"), filepath.Join(base, "outside")
			for _, dir := range []string{source, volumes, outside} {
				do(t, os.Mkdir(dir, 0o755))
			}
			write(t, filepath.Join(outside, "secret"), "kept")
			do(t, c.prepare(source, volumes, outside))
			if err := (disk.Files{}).Volume(volumes, source, c.v); err == nil {
				t.Error("it was done")
			}
			if names, _ := (disk.Files{}).List(outside); strings.Join(names, " ") != "secret" {
				t.Errorf("outside there are %v", names)
			}
			info, err := os.Stat(outside)
			do(t, err)
			if info.Mode().Perm() != 0o755 {
				t.Errorf("outside has the mode %v", info.Mode())
			}
		})
	}
}
