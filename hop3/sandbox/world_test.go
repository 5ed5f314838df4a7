package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3/sandbox"
)

// wrapper, when set, has this program run its arguments in the place that it
// holds, as a runtime's wrapper does.
const wrapper = "HOP3_SANDBOX_TEST_PLAN"

func TestMain(m *testing.M) {
	if plan := os.Getenv(wrapper); plan != "" {
		runWrapped(plan)
	}
	os.Exit(m.Run())
}

// world is a home with a server's secrets and the apps of a test.
type world struct {
	t    *testing.T
	home string
	box  *sandbox.Sandbox
}

// newWorld opens a sandbox, or skips the test where the rights are missing.
func newWorld(t *testing.T) *world {
	t.Helper()
	return worldAt(t, filepath.Join(t.TempDir(), "a home % ünï:c"))
}

func worldAt(t *testing.T, home string) *world {
	t.Helper()
	for _, dir := range []string{home, filepath.Join(home, "run"), filepath.Join(home, "apps")} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	box, err := sandbox.Open(sandbox.Options{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, home: home, box: box}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(box.Kill(ctx, ""), box.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := box.Isolation(); err != nil {
		if os.Geteuid() == 0 {
			t.Fatalf("as root: %v", err)
		}
		t.Skipf("this needs the rights to isolate: %v", err)
	}
	return w
}

// app is an app with one place.
type app struct {
	*sandbox.Plan
	w         *world
	name      string
	dir, data string
	release   string
}

func (w *world) app(name string) *app {
	w.t.Helper()
	dir := filepath.Join(w.home, "apps", name)
	a := &app{w: w, name: name, dir: dir, data: filepath.Join(dir, "data"), release: filepath.Join(dir, "releases", "1")}
	// As the server makes it: closed to other users.
	if err := os.MkdirAll(a.release, 0o750); err != nil {
		w.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	a.prepare()
	return a
}

func (a *app) spec() sandbox.Spec {
	return sandbox.Spec{
		App: a.name, Group: "apps/" + a.name + "/1/web.1", Capped: "apps/" + a.name + "/1",
		AppDir: a.dir, Writable: []string{a.data},
	}
}

func (a *app) prepare() {
	a.w.t.Helper()
	plan, err := a.w.box.Prepare(a.spec())
	if err != nil {
		a.w.t.Fatal(err)
	}
	a.Plan = plan
}

// run runs a program in the app's place to its end.
func (a *app) run(env []string, argv ...string) (output string, ok bool) {
	a.w.t.Helper()
	cmd := command(env, argv...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := a.Start(cmd); err != nil {
		a.w.t.Fatalf("%s: %v", argv, err)
	}
	err := cmd.Wait()
	return out.String(), err == nil
}

// must runs a shell's command line in the app's place.
func (a *app) must(script string) string {
	a.w.t.Helper()
	out, ok := a.run([]string{"HOME=" + a.data, "DIR=" + a.dir}, "/bin/sh", "-c", script)
	if !ok {
		a.w.t.Fatalf("as %s: %s: %s", a.name, script, out)
	}
	return strings.TrimSpace(out)
}

// background starts a program in the app's place that goes on.
func (a *app) background(env []string, argv ...string) *exec.Cmd {
	a.w.t.Helper()
	cmd := command(env, argv...)
	if err := a.Start(cmd); err != nil {
		a.w.t.Fatal(err)
	}
	a.w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func command(env []string, argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true: %s", what)
		}
	}
}
