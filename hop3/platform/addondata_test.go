package platform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// What a server that was killed wrote of a dump does not stay for ever.
func TestDumpsThatWereInterruptedGo(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	path, _, err := w.DumpAddon(t.Context(), alice, hop3.AddonID{Type: "fake", Name: "db"})
	w.must(err)
	partial := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+partialDump)
	w.must(os.WriteFile(partial, []byte("fir"), 0o600))
	w.start()
	if _, err := os.Stat(partial); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "first" || err != nil {
		t.Errorf("the dump that was whole is %q, %v", text, err)
	}
}

// An import that waits for a rotation uses what that made.
func TestImportAfterARotation(t *testing.T) {
	w := newBackupWorld(t)
	w.filled()
	id := hop3.AddonID{Type: "fake", Name: "db"}
	unlock, err := w.lockAddon(t.Context(), id)
	w.must(err)
	imported := make(chan error, 1)
	go func() { imported <- w.ImportAddon(t.Context(), alice, id, strings.NewReader("other")) }()
	until(t, "the import waits", func() bool {
		w.locks.mu.Lock()
		defer w.locks.mu.Unlock()
		return w.locks.apps["addon fake db"].users == 2
	})
	_, err = w.Store.UpdateAddon(t.Context(), id, func(a *hop3.Addon) error {
		a.Details = hop3.AddonDetails{"password": "rotated"}
		return nil
	})
	w.must(err)
	unlock()
	w.must(<-imported)
	if got := w.addons.restored["password"]; got != "rotated" {
		t.Errorf("it was restored with the password %q", got)
	}
}
