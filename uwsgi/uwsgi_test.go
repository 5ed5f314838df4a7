package uwsgi

import (
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/hop3/supervisor"
)

func TestMain(m *testing.M) { hop3test.RuntimeMain(m) }

func TestRuntime(t *testing.T) { hop3test.Runtime(t, open) }

func TestRuntimeWithoutSandbox(t *testing.T) { hop3test.RuntimeWithoutSandbox(t, open) }

// open opens the runtime of a home, which the test leaves without an emperor.
func open(t testing.TB, home string, box *sandbox.Sandbox) hop3.Runtime {
	t.Helper()
	if !Installed() {
		t.Skip("uWSGI is not installed; tests/run installs it")
	}
	r, err := (&UWSGI{}).Open(filepath.Join(home, "run", "native"), box, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// openNative opens the embedded runtime on the same state.
func openNative(t testing.TB, home string) hop3.Runtime {
	t.Helper()
	r, err := supervisor.New(supervisor.Options{RunDir: filepath.Join(home, "run", "native")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
