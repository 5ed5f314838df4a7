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
