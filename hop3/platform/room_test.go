package platform

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/disk"
)

// TestRoomIsMade deploys where there is never enough of the disk: what deploys
// have made goes, but for what is in use and one release to go back to.
func TestRoomIsMade(t *testing.T) {
	w := newWorld(t)
	w.Settings.KeepReleases = 5
	cache := w.cacheDir("blog")
	for _, version := range []string{"1", "2", "3", "4"} {
		r := w.deployed(version)
		_, err := w.Store.UpdateRelease(t.Context(), "blog", r.Number, func(r *hop3.Release) error {
			r.Artifact.Caches = []string{filepath.Join(cache, "python", "venv-"+version)}
			r.Artifact.PathPrepend = []string{filepath.Join(cache, "node", "node-"+version, "bin")}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"python/venv-" + version, "node/node-" + version + "/bin", "python/pip", "home/.cache/pip", "home/bin"} {
			if err := os.MkdirAll(filepath.Join(cache, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, dir := range []string{w.dataDir("blog"), w.volumesDir("blog"), w.logDir("blog")} {
		if err := os.MkdirAll(filepath.Join(dir, "kept"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.Settings.MinFreeSpace = 1 << 60
	w.Files = &alone{}

	_, err := w.Deploy(t.Context(), alice, w.request("5"))
	if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "not enough disk space to deploy 'blog'") {
		t.Errorf("the deploy: %v", err)
	}
	if !slices.ContainsFunc(w.out.lines, func(l string) bool { return strings.Contains(l, "removed build caches and old releases") }) {
		t.Errorf("nobody was told: %q", w.out.lines)
	}
	for dir, want := range map[string][]string{
		w.releasesDir("blog"):          {"3", "4"},
		filepath.Join(cache, "python"): {"venv-3", "venv-4"},
		filepath.Join(cache, "node"):   {"node-3", "node-4"},
		filepath.Join(cache, "home"):   {"bin"},
		w.dataDir("blog"):              {"kept"},
		w.volumesDir("blog"):           {"kept"},
		w.logDir("blog"):               {"deploy", "kept"},
	} {
		if got, err := w.Files.List(dir); !slices.Equal(got, want) || err != nil {
			t.Errorf("%s has %v, %v, want %v", dir, got, err, want)
		}
	}
	w.serves(4)
	if releases, _ := w.Store.Releases(t.Context(), "blog"); len(releases) != 4 {
		t.Errorf("there are %d releases: the refused one is not to be one", len(releases))
	}

	w.Settings.MinFreeSpace = 1
	if r, err := w.Rollback(t.Context(), alice, "blog", 0, w.out); err != nil || r.Commit != "3" {
		t.Errorf("going back: %v to %q", err, r.Commit)
	}
}

// TestRoomLeavesLinksAlone has a build put links where its cache was.
func TestRoomLeavesLinksAlone(t *testing.T) {
	w := newWorld(t)
	w.deployed("1")
	victim := filepath.Join(w.home, "apps", "victim")
	if err := os.MkdirAll(filepath.Join(victim, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.cacheDir("blog"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(w.cacheDir("blog"), "python")); err != nil {
		t.Fatal(err)
	}
	w.Settings.MinFreeSpace = 1 << 60
	if _, err := w.Deploy(t.Context(), alice, w.request("2")); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("the deploy: %v", err)
	}
	if names, _ := w.Files.List(victim); !slices.Equal(names, []string{"data"}) {
		t.Errorf("the victim has %v", names)
	}
}

// alone is a disk to which nobody else writes: with each look there is more
// room. On a real one others may take what was freed at once.
type alone struct {
	disk.Files
	free uint64
}

func (a *alone) Free(string) (bytes, files uint64, err error) {
	a.free += 1 << 20
	return a.free, a.free, nil
}
