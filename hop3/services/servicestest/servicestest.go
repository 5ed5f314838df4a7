// Package servicestest gives tests of addons a server whose services run for
// real.
package servicestest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/hop3/services"
	"github.com/abilian/hop3/hop3/supervisor"
)

// Server returns a server with settings, in a home of its own. Its services
// run isolated where the test has the rights, and end with the test. A service
// that ended starts again at once.
func Server(t testing.TB, settings map[string]string) hop3test.AddonServer {
	t.Helper()
	home := Home(t)
	box := Sandbox(t, home)
	s := Open(t, home, box)
	t.Cleanup(func() { End(t, home, s) })
	return hop3test.AddonServer{Settings: settings, Runs: s}
}

// Home makes a home whose path is short enough for unix sockets, and that
// users of services may pass through.
func Home(t testing.TB) string {
	t.Helper()
	home, err := os.MkdirTemp("", "hop3-")
	if err == nil {
		err = os.Chmod(home, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return home
}

// Sandbox opens the sandbox of a home.
func Sandbox(t testing.TB, home string) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.Open(sandbox.Options{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return box
}

// Open opens the services of a home. The caller closes them.
func Open(t testing.TB, home string, box *sandbox.Sandbox) *services.Services {
	t.Helper()
	s, err := services.Open(services.Options{
		Dir: filepath.Join(home, "services"), RunDir: filepath.Join(home, "run", "services"), Sandbox: box,
		Backoff: supervisor.Backoff{Min: time.Millisecond, Max: time.Second, Reset: time.Second},
		Logger:  zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// End removes all services of a home, shows the logs of those of a test that
// failed, and closes s.
func End(t testing.TB, home string, s *services.Services) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(home, "services", "*"))
	if err != nil {
		t.Error(err)
	}
	for _, dir := range dirs {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log", "service.1.log"))
			t.Logf("the log of %s:\n%s", filepath.Base(dir), text[max(0, len(text)-8<<10):])
		}
		if err := s.Remove(context.Background(), filepath.Base(dir)); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
