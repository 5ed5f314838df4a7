package platform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

const withVolume = "[[volumes]]\nname = \"kept\"\ntarget = \"a/b\"\n"

// All releases have the same volume; a failed build makes none.
func TestReleasesShareAVolume(t *testing.T) {
	w := newWorld(t)
	deploy := func(version string) error {
		req := w.request(version)
		req.Source = withFile{fakeSource{version}, "hop3.toml", withVolume}
		_, err := w.Deploy(t.Context(), alice, req)
		w.settled()
		return err
	}
	volume := filepath.Join(w.home, "apps", "blog", "volumes", "kept")
	w.builder.fail = hop3.Errorf(hop3.CodeDeploy, "boom")
	if err := deploy("one"); err == nil {
		t.Fatal("it was deployed")
	}
	if _, err := os.Lstat(volume); !os.IsNotExist(err) {
		t.Errorf("a failed build made the volume: %v", err)
	}
	w.builder.fail = nil
	if err := deploy("two"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.home, "apps", "blog", "src", "a", "b", "file"), []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"three", "four", "five"} { // the second one is pruned by now
		if err := deploy(version); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(w.home, "apps", "blog", "src", "a", "b", "file")); string(text) != "two" {
			t.Errorf("%s finds %q, %v", version, text, err)
		}
	}
}

func TestAVolumeDoesNotHideAFile(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{"version", "version/deep", "Procfile"} {
		req := w.request("one")
		req.Source = withFile{fakeSource{"one"}, "hop3.toml", "[[volumes]]\nname = \"kept\"\ntarget = \"" + target + "\"\n"}
		_, err := w.Deploy(t.Context(), alice, req)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "cannot be at "+target) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestReferencesKnowTheDomain(t *testing.T) {
	w := newWorld(t)
	req := w.request("one")
	req.Source = withFile{fakeSource{"one"}, "hop3.toml", "[env]\nSITE = { key = \"domain\" }\nWHO = { key = \"name\" }\nHOST = { key = \"hostname\" }\n"}
	if _, err := w.Deploy(t.Context(), alice, req); err == nil || !strings.Contains(err.Error(), "SITE refers to 'domain'") {
		t.Fatalf("without a domain: %v", err)
	}
	req.Env = hop3.Env{"HOST_NAME": "www.example.org"}
	r, err := w.Deploy(t.Context(), alice, req)
	if err != nil {
		t.Fatal(err)
	}
	if r.Env["SITE"] != "www.example.org" || r.Env["WHO"] != "blog" || r.Env["HOST"] != "blog.localhost" {
		t.Errorf("got %v", r.Env)
	}
}

// What an app cannot have is refused before the build, with the reason.
func TestVolumesThatTheServerDoesNotHave(t *testing.T) {
	w := newWorld(t)
	const tmpfs, bind = "[[volumes]]\nname = \"v\"\ntarget = \"v\"\ntype = \"tmpfs\"\n", "[[volumes]]\nname = \"v\"\ntarget = \"v\"\ntype = \"bind\"\nsource = \"/srv/media/films\"\n"
	deploy := func(text string) (hop3.Release, error) {
		req := w.request("one")
		req.Source = withFile{fakeSource{"one"}, "hop3.toml", text}
		return w.Deploy(t.Context(), alice, req)
	}
	for _, c := range []struct {
		settings   Settings
		text, want string
	}{
		{Settings{NotIsolated: hop3.Errorf(hop3.CodeConflict, "no rights")}, tmpfs, "type tmpfs needs apps that are isolated from each other, and here they are not: no rights"},
		{Settings{NotIsolated: hop3.Errorf(hop3.CodeConflict, "no rights")}, bind, "type bind needs apps that are isolated"},
		{Settings{}, tmpfs, "hold 0 bytes together, more than the 0 bytes"},
		{Settings{TmpfsMax: 1 << 20}, tmpfs + "size = \"2M\"\n", "hold 2 MiB together, more than the 1 MiB"},
		{Settings{}, bind, "/srv/media/films of the host, which this server does not let apps have"},
		{Settings{BindAllow: []hop3.BindRule{{Path: "/srv/med"}, {Path: "/srv/media/films/a"}}}, bind, "does not let apps have"},
	} {
		w.Settings.NotIsolated, w.Settings.TmpfsMax, w.Settings.BindAllow = c.settings.NotIsolated, c.settings.TmpfsMax, c.settings.BindAllow
		if _, err := deploy(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	w.Settings.TmpfsMax, w.Settings.BindAllow = 1<<20, []hop3.BindRule{{Path: "/srv"}, {Path: "/srv/media", ReadOnly: true}}
	r, err := deploy(tmpfs)
	if err != nil || r.Volumes[0].Size != 1<<20 {
		t.Errorf("got %+v, %v", r.Volumes, err)
	}
	r, err = deploy(bind)
	if err != nil || !r.Volumes[0].ReadOnly {
		t.Errorf("got %+v, %v", r.Volumes, err)
	}
	if l := w.launch(r); len(l.Volumes) != 1 || l.Volumes[0] != r.Volumes[0] {
		t.Errorf("the launch has %+v", l.Volumes)
	}
}
