package platform

import (
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// A plan makes and takes nothing, whatever it says.
func TestPlan(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	before, err := w.Store.Releases(t.Context(), "blog")
	w.must(err)
	plan, err := w.Plan(t.Context(), alice, w.request("two"))
	w.must(err)
	if plan.New || plan.Live.Number != 1 || plan.Builder == "" || len(plan.Problems) > 0 {
		t.Errorf("%+v", plan)
	}
	fresh := w.request("two")
	fresh.App, fresh.Env = "shop", hop3.Env{"bad name": "x"}
	plan, err = w.Plan(t.Context(), alice, fresh)
	w.must(err)
	if !plan.New || !slices.ContainsFunc(plan.Problems, func(p string) bool { return strings.Contains(p, "bad name") }) {
		t.Errorf("%+v", plan)
	}
	if _, err := w.Store.App(t.Context(), "shop"); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("the plan made the app: %v", err)
	}
	after, err := w.Store.Releases(t.Context(), "blog")
	w.must(err)
	if len(after) != len(before) {
		t.Errorf("there are %d releases, and were %d", len(after), len(before))
	}
	if left, err := w.Files.List(w.plansDir()); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	w.serves(1)
}
