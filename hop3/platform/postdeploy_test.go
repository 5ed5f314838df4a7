package platform

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// scripts.postdeploy of app.json runs after the first deploy that succeeds, and
// never again; that it fails undoes nothing.
func TestPostDeployRunsOnce(t *testing.T) {
	w := newWorld(t)
	var ran []string
	w.runtime.run = func(_ context.Context, _ hop3.Launch, cmd hop3.OneOff) (int, error) {
		ran = append(ran, cmd.Shell)
		return 3, nil
	}
	req := w.request("one")
	req.Source = withFile{fakeSource{"one"}, "app.json", `{"scripts": {"postdeploy": "seed"}}`}
	w.builder.fail = hop3.Errorf(hop3.CodeDeploy, "boom")
	if _, err := w.Deploy(t.Context(), alice, req); err == nil || len(ran) > 0 {
		t.Fatalf("a failed deploy ran %q, %v", ran, err)
	}
	w.builder.fail = nil
	for range 2 {
		if _, err := w.Deploy(t.Context(), alice, req); err != nil {
			t.Fatal(err)
		}
		w.settled()
	}
	if !slices.Equal(ran, []string{"seed"}) {
		t.Errorf("ran %q", ran)
	}
	if told := strings.Join(w.out.lines, "\n"); !strings.Contains(told, "the command `seed` after the first deploy ended with exit status 3") {
		t.Errorf("told %s", told)
	}
	w.serves(3)
}

// What app.json requires and nobody set fails a deploy before its build.
func TestRequiredVariables(t *testing.T) {
	w := newWorld(t)
	req := w.request("one")
	req.Source = withFile{fakeSource{"one"}, "app.json", `{"env": {"KEY": {"required": true, "description": "of the shop"}}}`}
	_, err := w.Deploy(t.Context(), alice, req)
	if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "KEY (of the shop)") {
		t.Fatalf("the deploy returned %v", err)
	}
	if _, err := w.SetEnv(t.Context(), alice, "blog", hop3.Env{"KEY": "x"}, nil, w.out); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Deploy(t.Context(), alice, req); err != nil {
		t.Fatal(err)
	}
}
