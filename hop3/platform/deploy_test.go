package platform

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestDeployReplacesTheRelease(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.serves(1)
	w.deployed("two")
	w.serves(2)
	if got := w.status(1); got != hop3.ReleaseRetired {
		t.Errorf("release 1 is %s", got)
	}
	if version, err := os.ReadFile(filepath.Join(w.home, "apps", "blog", "src", "version")); err != nil || string(version) != "two" {
		t.Errorf("src has version %q, %v", version, err)
	}
}

// Whatever fails before the switch, the old release goes on and nothing of the
// new one is left but the row that says why.
func TestFailedDeployLeavesTheOldRelease(t *testing.T) {
	boom := hop3.Errorf(hop3.CodeDeploy, "boom")
	for name, break_ := range map[string]func(*world){
		"build":     func(w *world) { w.builder.fail = boom },
		"start":     func(w *world) { w.runtime.fail = boom },
		"readiness": func(w *world) { w.prober.fail = boom },
		"route":     func(w *world) { w.proxy.fail = boom },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deployed("one")
			break_(w)
			if _, err := w.Deploy(t.Context(), alice, w.request("two")); !errors.Is(err, boom) {
				t.Fatalf("the deploy returned %v", err)
			}
			w.runtime.fail = nil
			w.serves(1)
			if got := w.status(2); got != hop3.ReleaseFailed {
				t.Errorf("release 2 is %s", got)
			}
			w.prober.fail, w.builder.fail = nil, nil
			w.deployed("three")
			w.serves(3)
		})
	}
}

func TestCanceledDeployLeavesTheOldRelease(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.prober.hold = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Deploy(ctx, alice, w.request("two")); hop3.CodeOf(err) == "" {
		t.Fatal("the deploy went through")
	}
	w.serves(1)
}

func TestFailedBeforeRunFailsTheDeploy(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.runtime.exit = 3
	req := w.request("two")
	req.Source = withFile{fakeSource{"two"}, "hop3.toml", "[run]\nbefore-run = \"migrate\"\n"}
	_, err := w.Deploy(t.Context(), alice, req)
	if hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Fatalf("the deploy returned %v", err)
	}
	w.serves(1)
}

func TestKeptReleases(t *testing.T) {
	w := newWorld(t) // keeps two
	for _, v := range []string{"one", "two", "three", "four"} {
		w.deployed(v)
	}
	for number, want := range map[int]bool{1: false, 2: false, 3: true, 4: true} {
		_, err := os.Stat(filepath.Join(w.home, "apps", "blog", "releases", strconv.Itoa(number)))
		if (err == nil) != want {
			t.Errorf("the files of release %d: kept %v, want %v", number, err == nil, want)
		}
	}
	if _, err := w.Rollback(t.Context(), alice, "blog", 1, w.out); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("rolling back to files that are gone: %v", err)
	}
	if _, err := w.Rollback(t.Context(), alice, "blog", 0, w.out); err != nil {
		t.Error(err)
	}
	w.serves(5)
}

func TestHostOfAnotherAppIsRefused(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	if _, err := w.SetEnv(t.Context(), alice, "blog", hop3.Env{"HOST_NAME": "www.example.com"}, nil, w.out); err != nil {
		t.Fatal(err)
	}
	req := w.request("x")
	req.App, req.Env = "shop", hop3.Env{"HOST_NAME": "WWW.example.com."}
	if _, err := w.Deploy(t.Context(), alice, req); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Fatalf("taking the host of another app: %v", err)
	}
	w.serves(2)
}

func TestSetEnvIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "not ready with that")
	if _, err := w.SetEnv(t.Context(), alice, "blog", hop3.Env{"A": "1"}, nil, w.out); err == nil {
		t.Fatal("no error")
	}
	if env, _ := w.Env(t.Context(), alice, "blog"); len(env) != 0 {
		t.Errorf("the refused variable is stored: %v", env)
	}
	w.serves(1)
	w.prober.fail = nil
	change, err := w.SetEnv(t.Context(), alice, "blog", hop3.Env{"A": "1"}, nil, w.out)
	if err != nil || change.Release != 3 {
		t.Fatalf("%+v, %v", change, err)
	}
	w.serves(3)
}

func TestStoppedAppTakesChanges(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	if err := w.StopApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	if _, err := w.SetEnv(t.Context(), alice, "blog", hop3.Env{"A": "1"}, nil, w.out); err != nil {
		t.Fatal(err)
	}
	if err := w.Scale(t.Context(), alice, "blog", map[string]int{"web": 2}, w.out); err != nil {
		t.Fatal(err)
	}
	if running, _ := w.runtime.Releases(t.Context()); len(running) != 0 {
		t.Fatalf("%v run", running)
	}
	if err := w.StartApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	w.serves(3)
	l := w.runtime.running[hop3.ReleaseID{App: "blog", Number: 3}]
	if l.Env["A"] != "1" || l.Processes[0].Count != 2 {
		t.Errorf("started with %v, %v", l.Env, l.Processes)
	}
}

// withFile is a source with one more file.
type withFile struct {
	fakeSource
	name, content string
}

func (s withFile) CheckOut(ctx context.Context, dir string) error {
	return errors.Join(s.fakeSource.CheckOut(ctx, dir), os.WriteFile(filepath.Join(dir, s.name), []byte(s.content), 0o644))
}
