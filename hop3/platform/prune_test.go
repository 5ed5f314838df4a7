package platform

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// The live release says how many are kept, the server for one that does not.
func TestKeptReleasesOfTheManifest(t *testing.T) {
	w := newWorld(t) // which keeps 2
	kept := func(version, text string) int {
		t.Helper()
		if _, err := w.declaring("blog", version, text); err != nil {
			t.Fatal(err)
		}
		names, err := w.Files.List(w.releasesDir("blog"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for i, c := range []struct {
		text string
		want int
	}{
		{"[deploy]\nkeep = 3\n", 1}, {"[deploy]\nkeep = 3\n", 2}, {"[deploy]\nkeep = 3\n", 3}, {"[deploy]\nkeep = 3\n", 3},
		{"", 2}, {"[deploy]\nkeep = 1\n", 1},
	} {
		if got := kept(strings.Repeat("x", i+1), c.text); got != c.want {
			t.Errorf("after deploy %d with %q %d releases are kept, want %d", i+1, c.text, got, c.want)
		}
	}
	_, err := w.Rollback(t.Context(), alice, "blog", 0, w.out)
	if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "The last 1 releases are, unless the disk is full ([deploy].keep of hop3.toml") {
		t.Errorf("a rollback: %v", err)
	}
}
