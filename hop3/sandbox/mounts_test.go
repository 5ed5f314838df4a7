package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

// worldWith is a world whose admin lets apps have directories of the host.
func worldWith(t *testing.T, rules ...hop3.BindRule) *world {
	t.Helper()
	w := newWorld(t)
	box, err := sandbox.Open(sandbox.Options{Home: w.home, Binds: rules})
	if err != nil {
		t.Fatal(err)
	}
	w.box = box // of the same home, hence of the same groups
	return w
}

func (a *app) withVolumes(volumes ...hop3.Volume) error {
	for _, v := range volumes {
		if err := os.MkdirAll(filepath.Join(a.release, v.Target), 0o755); err != nil {
			a.w.t.Fatal(err)
		}
	}
	spec := a.spec()
	spec.Dir, spec.Volumes = a.release, volumes
	plan, err := a.w.box.Prepare(spec)
	if err == nil {
		a.Plan = plan
	}
	return err
}

func TestVolumesInMemory(t *testing.T) {
	w := newWorld(t)
	a := w.app("a")
	if err := a.withVolumes(hop3.Volume{Name: "scratch", Target: "var/scratch", Kind: hop3.VolumeTmpfs, Size: 1 << 20, Mode: 0o700}); err != nil {
		t.Fatal(err)
	}
	in := `cd "$DIR/releases/1/var/scratch" && `
	for script, want := range map[string]string{
		"echo x > f && cat f":                     "x",
		"stat -f -c %T .":                         "tmpfs",
		"test $(stat -c %u .) = $(id -u) && echo": "",
		"stat -c %a .":                            "700",
		"ls -A":                                   "", // what another process wrote is not there
		"printf '#!/bin/sh\n' > p && chmod +x p && ! ./p 2>&1 | grep -q denied || echo denied": "denied",
		"head -c 2000000 /dev/zero 2>&1 >big | grep -o 'No space left'; stat -c %s big":        "No space left\n1048576",
		"seq -f n%g 2000 | xargs touch 2>/dev/null; test $(ls | wc -l) -lt 1100 && echo ok":    "ok",
		"touch ../new 2>&1 | grep -o Read-only":                                                "Read-only",
	} {
		if got := a.must(in + script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(a.release, "var", "scratch")); err != nil || len(entries) > 0 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
}

func TestVolumesOfTheHost(t *testing.T) {
	host := t.TempDir()
	for _, dir := range []string{"media/films", "docs", "other"} {
		if err := os.MkdirAll(filepath.Join(host, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(host, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(host, dir, "file"), "of "+dir, 0o644)
	}
	for dir := filepath.Clean(host); dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); dir != "/tmp" && err != nil { // t.TempDir is closed to others
			t.Fatal(err)
		}
		if filepath.Dir(dir) == os.TempDir() {
			break
		}
	}
	media, docs := filepath.Join(host, "media"), filepath.Join(host, "docs")
	linked := filepath.Join(host, "linked")
	if err := os.Symlink(media, linked); err != nil {
		t.Fatal(err)
	}
	w := worldWith(t, hop3.BindRule{Path: media}, hop3.BindRule{Path: docs, ReadOnly: true}, hop3.BindRule{Path: linked})
	a := w.app("a")
	bind := func(name, source string) hop3.Volume {
		return hop3.Volume{Name: name, Target: name, Kind: hop3.VolumeBind, Source: source}
	}
	quiet := bind("quiet", media)
	quiet.ReadOnly = true
	if err := a.withVolumes(bind("films", filepath.Join(media, "films")), bind("docs", docs), quiet, bind("linked", linked)); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]string{
		"cat films/file docs/file":                                                                    "of media/filmsof docs",
		"echo new > films/new && cat linked/films/new":                                                "new",
		"touch docs/new quiet/films/new 2>&1 | grep -c -e Read-only":                                  "2",
		"unshare -Urm sh -c 'mount -o remount,rw,bind docs && touch docs/new' 2>/dev/null || echo no": "no",
		"ls -A films/.. | sort | head -2":                                                             "docs\nfilms",
		"cat " + filepath.Join(host, "other", "file") + " 2>&1 | wc -l":                               "1",
	} {
		if got := a.must(`cd "$DIR/releases/1" && ` + script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(media, "films", "new")); string(text) != "new\n" {
		t.Errorf("the host has %q, %v", text, err)
	}

	// Who may write there cannot lead another app out of it.
	for link, target := range map[string]string{"out": filepath.Join(host, "other"), "up": "../other", "secret": w.home} {
		if err := os.Symlink(target, filepath.Join(media, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, source := range []string{
		filepath.Join(media, "out"), filepath.Join(media, "up"), filepath.Join(media, "secret", "apps"), media + "/../other",
		filepath.Join(media, "file"), filepath.Join(host, "other"), host, w.home, filepath.Join(media, "missing"), media + "s",
	} {
		if err := a.withVolumes(bind("x", source)); err == nil {
			t.Errorf("%s was bound: %s", source, a.must(`ls -A "$DIR/releases/1/x"`))
		}
	}
}

// What the source, or the target, was replaced by after it was looked at is not
// followed.
func TestVolumesOfTheHost_TheSourceIsSwapped(t *testing.T) {
	host := t.TempDir()
	films := filepath.Join(host, "films")
	if err := os.Mkdir(films, 0o755); err != nil {
		t.Fatal(err)
	}
	w := worldWith(t, hop3.BindRule{Path: host})
	a := w.app("a")
	if err := a.withVolumes(hop3.Volume{Name: "x", Target: "x", Kind: hop3.VolumeBind, Source: films}); err != nil {
		t.Fatal(err)
	}
	for _, swapped := range []string{filepath.Join(a.release, "x"), films} {
		if err := os.Remove(swapped); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc", swapped); err != nil {
			t.Fatal(err)
		}
		cmd := command(nil, "/bin/true")
		if err := a.Start(cmd); err == nil {
			_ = cmd.Wait()
			t.Errorf("it started with a link for %s", swapped)
		}
		if err := os.Remove(swapped); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(swapped, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a.must("true") // all is as before
}

func TestVolumesOfTheHost_NeverTheServersOwn(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{w.home, filepath.Dir(w.home), filepath.Join(w.home, "run")} {
		box, err := sandbox.Open(sandbox.Options{Home: w.home, Binds: []hop3.BindRule{{Path: path}}})
		if err != nil {
			t.Fatal(err)
		}
		w.box = box
		if err := w.app("a").withVolumes(hop3.Volume{Name: "x", Target: "x", Kind: hop3.VolumeBind, Source: path}); err == nil {
			t.Errorf("%s was bound", path)
		}
	}
}

func TestVolumes_NeedIsolation(t *testing.T) {
	box, err := sandbox.Open(sandbox.Options{Home: t.TempDir(), Mode: sandbox.Off})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	_, err = box.Prepare(sandbox.Spec{App: "a", Volumes: []hop3.Volume{{Name: "x", Target: "x", Kind: hop3.VolumeTmpfs, Size: 1}}})
	if err == nil || !strings.Contains(err.Error(), "the volume 'x' of type tmpfs needs isolation") {
		t.Error(err)
	}
}
