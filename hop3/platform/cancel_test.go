package platform

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// holding deploys a version whose instances do not become ready before the
// returned channel is closed.
func (w *world) holding(version string) (hold chan struct{}, result chan error) {
	w.t.Helper()
	hold, result = make(chan struct{}), make(chan error, 1)
	w.prober.hold = hold
	go func() {
		_, err := w.Deploy(w.t.Context(), alice, w.request(version))
		result <- err
	}()
	w.runtime.await(w.t, 2)
	return hold, result
}

// await waits until that many releases run.
func (f *fakeRuntime) await(t *testing.T, n int) {
	t.Helper()
	until(t, "releases run", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.running) == n
	})
}

func TestCancelDeploy_LeavesTheOldReleaseServing(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	if _, err := w.CancelDeploy(t.Context(), alice, "blog"); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("nothing is under way: %v", err)
	}
	_, result := w.holding("two")
	number, err := w.CancelDeploy(t.Context(), Actor{Username: "bob"}, "blog")
	if err != nil || number != 2 {
		t.Errorf("got v%d, %v", number, err)
	}
	if err := <-result; hop3.CodeOf(err) != hop3.CodeCanceled || !strings.Contains(err.Error(), "canceled by bob") {
		t.Errorf("the deploy ended with %v", err)
	}
	w.serves(1)
	if s := w.status(2); s != hop3.ReleaseFailed {
		t.Errorf("the canceled release is %s", s)
	}
	if _, err := os.Stat(w.releaseDir("blog", 2)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the canceled release's files: %v", err)
	}
	w.prober.hold = nil
	w.deployed("three")
	w.serves(3)
}

func TestCancelDeploy_EndsTheOneThatWaits(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	unlock, err := w.lock(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := w.Deploy(t.Context(), alice, w.request("two"))
		result <- err
	}()
	until(t, "the deploy waits", func() bool {
		_, err := w.CancelDeploy(t.Context(), alice, "blog")
		return err == nil
	})
	if err := <-result; hop3.CodeOf(err) != hop3.CodeCanceled {
		t.Errorf("the deploy ended with %v", err)
	}
	unlock()
	w.serves(1)
}

func TestDeployLog_KeepsWhatWasTold(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.builder.fail = hop3.Errorf(hop3.CodeDeploy, "the compiler is unhappy")
	if _, err := w.Deploy(t.Context(), alice, w.request("two")); err == nil {
		t.Fatal("the deploy succeeded")
	}
	logOf := func(number int) string {
		var b strings.Builder
		err := w.DeployLog(t.Context(), alice, "blog", number, func(line string) error {
			b.WriteString(line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if log := logOf(1); !strings.Contains(log, "Release v1 of 'blog' is live") {
		t.Errorf("the log of v1 is %q", log)
	}
	if log := logOf(2); !strings.HasSuffix(log, "the compiler is unhappy") {
		t.Errorf("the log of v2 is %q", log)
	}
	if err := w.DeployLog(t.Context(), alice, "blog", 7, nil); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("got %v", err)
	}
	dir := filepath.Join(w.logDir("blog"), deployLogs)
	for n := range deployLogsKept + 5 {
		if err := os.WriteFile(filepath.Join(w.logDir("blog"), deployLogName(n+3)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.pruneDeployLogs("blog"); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != deployLogsKept {
		t.Errorf("%d logs are left, %v", len(left), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "v57.log")); err != nil {
		t.Errorf("the newest is gone: %v", err)
	}
}
