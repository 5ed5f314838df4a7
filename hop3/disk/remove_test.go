package disk_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/abilian/hop3/hop3/disk"
)

func TestRemoveIn(t *testing.T) {
	var files disk.Files
	base := t.TempDir()
	app, victim := filepath.Join(base, "app"), filepath.Join(base, "victim")
	for _, d := range []string{"app/cache/python/venv-1", "app/cache/python/venv-2", "app/releases", "victim/venv-1"} {
		do(t, os.MkdirAll(filepath.Join(base, d), 0o755))
	}
	do(t, os.WriteFile(filepath.Join(app, "cache/python/venv-1/file"), nil, 0o444))
	do(t, os.Symlink(victim, filepath.Join(app, "cache", "out")))
	do(t, os.Symlink("../../victim", filepath.Join(app, "cache", "up")))

	do(t, files.RemoveIn(app, "cache/python/venv-1", "releases/grave"))
	do(t, files.RemoveIn(app, "cache/python/none", "releases/grave"))
	do(t, files.RemoveIn(filepath.Join(base, "none"), "x", "grave"))
	names, err := files.ListIn(app, "cache/python")
	if !slices.Equal(names, []string{"venv-2"}) || err != nil {
		t.Errorf("left are %v, %v", names, err)
	}
	if left, _ := files.List(filepath.Join(app, "releases")); len(left) > 0 {
		t.Errorf("the grave has %v", left)
	}
	for _, link := range []string{"cache/out", "cache/up"} {
		if names, err := files.ListIn(app, link); names != nil || err != nil {
			t.Errorf("%s lists %v, %v", link, names, err)
		}
		if err := files.RemoveIn(app, link+"/venv-1", "releases/grave"); err == nil {
			t.Errorf("%s led out", link)
		}
	}
	if names, _ := files.List(victim); len(names) != 1 {
		t.Errorf("the victim has %v", names)
	}
	for _, none := range []string{"none", "cache/none", "../app"} {
		if names, _ := files.ListIn(app, none); len(names) > 0 {
			t.Errorf("%s lists %v", none, names)
		}
	}
}
