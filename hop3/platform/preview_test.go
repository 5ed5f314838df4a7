package platform

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

const featureRef = "refs/heads/feature"

// pushed pushes a branch of blog with options. When git shall move it, it does.
func (w *world) pushed(branch, to string, moves bool, options ...string) error {
	w.t.Helper()
	push, err := w.BeginPush(w.t.Context(), alice, "blog", w.out)
	if err != nil {
		w.t.Fatal(err)
	}
	ref := "refs/heads/" + branch
	old := w.repos.refs[ref]
	if old == "" {
		old = noHash
	}
	err = push.PreReceive(w.t.Context(), hop3.Push{
		Updates: []hop3.RefMove{{Name: ref, Old: old, New: to}},
		Options: options,
		Commit: func(_ context.Context, hash string) (hop3.Source, error) {
			if w.repos.toml != "" {
				return withFile{fakeSource{hash}, "hop3.toml", w.repos.toml}, nil
			}
			return fakeSource{hash}, nil
		},
	})
	if err == nil && moves {
		w.repos.refs[ref] = to
	}
	push.Settle(w.t.Context(), err)
	w.settled()
	return err
}

func (w *world) exists(app string, want bool) {
	w.t.Helper()
	_, err := w.Store.App(w.t.Context(), app)
	if got := hop3.CodeOf(err) != hop3.CodeNotFound; got != want {
		w.t.Errorf("%s exists: %v (%v), want %v", app, got, err, want)
	}
	if _, err := os.Stat(w.appDir(app)); (err == nil) != want {
		w.t.Errorf("the directory of %s: %v, want %v", app, err, want)
	}
	if running, _ := w.runtime.Releases(w.t.Context()); !want {
		for _, id := range running {
			if id.App == app {
				w.t.Errorf("%v runs", id)
			}
		}
	}
}

func (w *world) previewing() {
	w.t.Helper()
	w.deployed("one")
	w.repos.refs["refs/heads/main"] = hash1
	if _, err := w.Store.UpdateApp(w.t.Context(), "blog", func(a *hop3.App) error {
		a.DeployBranch, a.PreviewEnv = "main", hop3.Env{"B": "preview"}
		a.Env = hop3.Env{"A": "app", "B": "app", "HOST_NAME": "www.example.com"}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

func TestPreviewHasItsOwn(t *testing.T) {
	w := newWorld(t)
	w.previewing()
	if err := w.pushed("feature", hash2, true, "preview", "env=C=given"); err != nil {
		t.Fatal(err)
	}
	w.exists("feature--blog", true)
	app, err := w.Store.App(t.Context(), "feature--blog")
	if err != nil || app.Live != 1 || *app.Preview != (hop3.Preview{Parent: "blog", Branch: "feature", Expires: app.Preview.Expires}) {
		t.Fatalf("%+v, %v", app, err)
	}
	r, err := w.Store.Release(t.Context(), "feature--blog", 1)
	if err != nil || r.Ref != nil || r.Branch != "feature" || strings.Join(r.Hosts, " ") != "feature--blog.localhost" {
		t.Errorf("%+v, %v", r, err)
	}
	for key, want := range map[string]string{"A": "app", "B": "preview", "C": "given", "HOP3_PREVIEW": "1", "HOST_NAME": "feature--blog.localhost"} {
		if r.Env[key] != want {
			t.Errorf("%s is %q, want %q", key, r.Env[key], want)
		}
	}
	if sleepAfter(r) != w.Settings.PreviewSleep || len(r.Cron) != 0 {
		t.Errorf("it sleeps after %s and has %d cron entries", sleepAfter(r), len(r.Cron))
	}
	if parent, err := w.Store.App(t.Context(), "blog"); err != nil || parent.Env["C"] != "" || parent.Live != 1 {
		t.Errorf("the parent is %+v, %v", parent, err)
	}
	// What the parent changes, the next push of the preview has; its own stays.
	if _, err := w.Store.UpdateApp(t.Context(), "blog", func(a *hop3.App) error { a.Env["A"] = "new"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := w.pushed("feature", strings.Repeat("3", 40), true, "preview"); err != nil {
		t.Fatal(err)
	}
	if r, err = w.Store.Release(t.Context(), "feature--blog", 2); err != nil || r.Env["A"] != "new" || r.Env["C"] != "given" {
		t.Errorf("%v, %v", r.Env, err)
	}
	// Nobody deploys to it but by its branch.
	if _, err := w.BeginPush(t.Context(), alice, "feature--blog", w.out); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a push to it: %v", err)
	}
	if _, err := w.Deploy(t.Context(), alice, DeployRequest{App: "feature--blog", Source: fakeSource{"x"}, Out: w.out}); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a deploy to it: %v", err)
	}
	if err := w.DestroyApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	w.exists("feature--blog", false)
}

// A preview's release, its branch and the database agree, whenever the server
// ends; what is half made goes.
func TestReconcilePreview(t *testing.T) {
	hash3 := strings.Repeat("3", 40)
	for name, c := range map[string]struct {
		before, after string // of the branch
		live          int    // 0: the preview is gone
	}{
		"the first push, the branch moved":              {"", hash3, 1},
		"the first push, the branch stayed":             {"", "", 0},
		"the first preview of a branch that was stored": {hash2, hash2, 0},
		"a later push, the branch moved":                {"preview", hash3, 2},
		"a later push, the branch stayed":               {"preview", hash2, 1},
		"a later push, the branch is gone":              {"preview", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.previewing()
			switch c.before {
			case "preview":
				if err := w.pushed("feature", hash2, true, "preview"); err != nil {
					t.Fatal(err)
				}
			case hash2:
				w.repos.refs[featureRef] = hash2
			}
			push, err := w.BeginPush(t.Context(), alice, "blog", w.out)
			if err != nil {
				t.Fatal(err)
			}
			old := w.repos.refs[featureRef]
			if old == "" {
				old = noHash
			}
			received := w.received(old, hash3)
			received.Updates[0].Name, received.Options = featureRef, []string{"preview"}
			if err := push.PreReceive(t.Context(), received); err != nil {
				t.Fatal(err)
			}
			if w.repos.refs[featureRef] = c.after; c.after == "" {
				delete(w.repos.refs, featureRef)
			}
			w.reboot()
			if err := w.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.settled()
			w.exists("feature--blog", c.live > 0)
			w.exists("blog", true)
			if c.live > 0 {
				app, err := w.Store.App(t.Context(), "feature--blog")
				if err != nil || app.Live != c.live || w.proxy.route("feature--blog").Release != c.live {
					t.Errorf("%+v, %v, routed to %+v", app, err, w.proxy.route("feature--blog"))
				}
			}
		})
	}
}

func TestPreviewThatFailsLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.previewing()
	if err := w.pushed("feature", hash2, false, "preview"); err != nil { // git refuses after all
		t.Fatal(err)
	}
	w.exists("feature--blog", false)
	w.builder.fail = hop3.Errorf(hop3.CodeDeploy, "broken")
	if err := w.pushed("feature", hash2, false, "preview"); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Errorf("got %v", err)
	}
	w.exists("feature--blog", false)
	// One that served before serves on.
	w.builder.fail = nil
	if err := w.pushed("feature", hash2, true, "preview"); err != nil {
		t.Fatal(err)
	}
	w.builder.fail = hop3.Errorf(hop3.CodeDeploy, "broken")
	if err := w.pushed("feature", strings.Repeat("3", 40), false, "preview"); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Errorf("got %v", err)
	}
	w.exists("feature--blog", true)
}

// A push of the app and a preview: when the preview fails, the app never
// noticed.
func TestPreviewAndDeployInOnePush(t *testing.T) {
	w := newWorld(t)
	w.previewing()
	if err := w.ServePreviews(t.Context(), alice, "blog", true); err != nil {
		t.Fatal(err)
	}
	push, err := w.BeginPush(t.Context(), alice, "blog", w.out)
	if err != nil {
		t.Fatal(err)
	}
	received := w.received(hash1, hash2)
	received.Updates = append(received.Updates, hop3.RefMove{Name: featureRef, Old: noHash, New: hash2})
	if err := push.PreReceive(t.Context(), received); err != nil {
		t.Fatal(err)
	}
	w.repos.refs[featureRef] = hash2 // and git refuses to move main
	push.Settle(t.Context(), nil)
	w.settled()
	w.exists("feature--blog", true)
	if app := w.app(); app.Live != 1 {
		t.Errorf("v%d of the app is live", app.Live)
	}
}

func TestPreviewsEnd(t *testing.T) {
	w := newWorld(t)
	w.previewing()
	for _, branch := range []string{"one", "two", "three"} {
		if err := w.pushed(branch, hash2, true, "preview"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.pushed("four", hash2, false, "preview"); hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "3 are the most") {
		t.Errorf("the fourth: %v", err)
	}
	w.exists("four--blog", false)
	sweep := func() {
		w.sweepPreviews(t.Context(), false)
		w.settled()
	}
	sweep()
	if all, err := w.Previews(t.Context(), alice, "blog"); err != nil || len(all) != 3 {
		t.Errorf("%d previews, %v", len(all), err)
	}
	delete(w.repos.refs, "refs/heads/one")
	sweep()
	w.exists("one--blog", false)
	if _, err := w.ExtendPreview(t.Context(), alice, "blog", "two", 30*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	w.tick(8 * 24 * time.Hour)
	sweep()
	w.exists("two--blog", true)
	w.exists("three--blog", false)
	if err := w.RemovePreview(t.Context(), alice, "blog", "nosuch", w.out); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("got %v", err)
	}
	// A parent that went in the wrong moment.
	if err := w.Store.DeleteApp(t.Context(), "blog"); err != nil {
		t.Fatal(err)
	}
	sweep()
	w.exists("two--blog", false)
}

// A name that a preview would have may be an older app's.
func TestPreviewWhoseNameIsTaken(t *testing.T) {
	w := newWorld(t)
	w.previewing()
	if _, err := w.CreateApp(t.Context(), alice, "feature--blog"); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("creating it: %v", err)
	}
	if err := w.Store.CreateApp(t.Context(), hop3.App{Name: "feature--blog"}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.home, "apps", "feature--blog"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := w.pushed("feature", hash2, false, "preview"); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("got %v", err)
	}
	w.exists("feature--blog", true)
}
