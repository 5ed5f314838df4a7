package platform

import (
	"maps"
	"slices"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// The server ends between the making of an addon and its attachment.
func TestAddons_AnInterruptedFirstDeployLeavesNone(t *testing.T) {
	for _, before := range []string{"nothing", "a live release"} {
		t.Run(before, func(t *testing.T) {
			w := newWorld(t)
			f := newFakeAddons("postgres")
			w.withAddonsOf(f)
			if before == "nothing" {
				_, err := w.CreateApp(t.Context(), alice, "blog")
				w.must(err)
			} else {
				w.deployed("one")
			}
			forApp := func(name string) hop3.AddonID {
				t.Helper()
				a, _, err := w.makeAddon(t.Context(), hop3.AddonRequest{Type: "postgres", Name: name}, hop3.Addon{Team: hop3.DefaultTeam, App: "blog"}, w.out)
				w.must(err)
				return a.ID()
			}
			forApp("earlier")
			_, err := w.newRelease(t.Context(), alice, w.request("two"))
			w.must(err)
			forApp("made")
			attached := forApp("attached")
			w.must(w.Store.SetAttachments(t.Context(), "blog", []hop3.Attachment{{App: "blog", Type: attached.Type, Name: attached.Name, Primary: true}}))
			w.create("postgres", "by-hand")
			w.reboot()
			w.withAddonsOf(f)
			w.must(w.Reconcile(t.Context()))
			w.must(w.settleAddons(t.Context()))
			want := []string{"attached", "by-hand", "earlier"}
			if before != "nothing" {
				want = []string{"attached", "by-hand", "earlier", "made"} // the next deploy takes it
			}
			if got := slices.Sorted(maps.Keys(f.made)); !slices.Equal(got, want) {
				t.Errorf("there are %v, want %v", got, want)
			}
		})
	}
}
