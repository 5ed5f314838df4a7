package platform

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/abilian/hop3/hop3"
)

const (
	noHash = "0000000000000000000000000000000000000000"
	hash1  = "1111111111111111111111111111111111111111"
	hash2  = "2222222222222222222222222222222222222222"
)

func TestReconcileBringsBackTheLiveRelease(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	for range 2 { // the second time with everything still running
		w.reboot()
		if err := w.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.serves(1)
	}
}

func TestReconcileEndsWhatWasHalfBuilt(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	half, err := w.newRelease(t.Context(), alice, w.request("two"))
	if err != nil {
		t.Fatal(err)
	}
	dir := w.releaseDir("blog", half.Number)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := w.runtime.Start(t.Context(), w.launch(half)); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.serves(1)
	if got := w.status(half.Number); got != hop3.ReleaseFailed {
		t.Errorf("the half-built release is %s", got)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("its files are left")
	}
}

// The server ends after the switch and before git moves the branch: the branch
// decides.
func TestReconcileUnconfirmedPush(t *testing.T) {
	for name, c := range map[string]struct {
		branch string
		serves int
	}{
		"the branch moved":     {hash2, 2},
		"the branch stayed":    {hash1, 1},
		"the branch was moved": {noHash, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deployed("one")
			push := w.push(hash1, hash2)
			if err := push.PreReceive(t.Context(), w.received(hash1, hash2)); err != nil {
				t.Fatal(err)
			}
			w.repos.refs["refs/heads/main"] = c.branch
			w.reboot()
			if err := w.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.serves(c.serves)
		})
	}
}

func TestReconcileUnconfirmedFirstPush(t *testing.T) {
	w := newWorld(t)
	push := w.push(noHash, hash1)
	if err := push.PreReceive(t.Context(), w.received(noHash, hash1)); err != nil {
		t.Fatal(err)
	}
	w.repos.refs = map[string]string{}
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if running, _ := w.runtime.Releases(t.Context()); len(running) != 0 {
		t.Errorf("%v run", running)
	}
	if app, err := w.Store.App(t.Context(), "blog"); err != nil || app.Live != 0 {
		t.Errorf("%+v, %v", app, err)
	}
}

func TestReconcileDestroy(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	grave := filepath.Join(w.home, "apps", ".destroyed.blog.1")
	// The files are moved away, the row is still there: nothing happened.
	if err := os.Rename(w.appDir("blog"), grave); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.serves(1)
	// The row is gone too: the rest goes.
	if err := os.Rename(w.appDir("blog"), grave); err != nil {
		t.Fatal(err)
	}
	if err := w.Store.DeleteApp(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(grave); err == nil {
		t.Error("the files are left")
	}
	if running, _ := w.runtime.Releases(t.Context()); len(running) != 0 {
		t.Errorf("%v run", running)
	}
}
