package platform

import (
	"errors"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

const elsewhere = "https://example.com/team/blog.git"

var hash3 = strings.Repeat("3", 40)

// fetched makes blog an app that is fetched, at hash1.
func (w *world) fetched() {
	w.t.Helper()
	w.repos.elsewhere = hash1
	if _, err := w.CreateFromSource(w.t.Context(), alice, SourceRequest{App: "blog", Address: elsewhere, Out: w.out}); err != nil {
		w.t.Fatal(err)
	}
	w.serves(1)
	if app := w.app(); app.DeployBranch != "main" || app.Source != elsewhere || w.repos.refs["refs/heads/main"] != hash1 {
		w.t.Errorf("%+v, main is at %s", app, w.repos.refs["refs/heads/main"])
	}
}

func (w *world) main(want string) {
	w.t.Helper()
	if got := w.repos.refs["refs/heads/main"]; got != want {
		w.t.Errorf("main is at %.8s, want %.8s", got, want)
	}
}

func TestDeploySource(t *testing.T) {
	w := newWorld(t)
	w.fetched()
	w.repos.elsewhere = hash2
	if r, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", Out: w.out}); err != nil || r.Commit != hash2 || r.Kind != hop3.ReleaseFetch {
		t.Fatalf("%+v, %v", r, err)
	}
	w.serves(2)
	w.main(hash2)

	// Nothing new, unless it is asked for.
	if _, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", IfNew: true, Out: w.out}); !errors.Is(err, errNothingNew) {
		t.Errorf("got %v", err)
	}
	if _, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", Out: w.out}); err != nil {
		t.Error(err)
	}
	w.serves(3)

	// The commit that somebody names must be there.
	if _, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", Commit: hash3, Out: w.out}); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("got %v", err)
	}
	if _, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", Commit: hash1, Out: w.out}); err != nil {
		t.Errorf("an ancestor: %v", err)
	}
	if _, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", Address: elsewhere + "x", Out: w.out}); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("another source: %v", err)
	}
}

// When the branch cannot be moved, what serves is taken back.
func TestDeploySourceThatCannotMoveTheBranch(t *testing.T) {
	w := newWorld(t)
	w.fetched()
	w.repos.elsewhere, w.repos.moveFails = hash2, hop3.Errorf(hop3.CodeConflict, "moved")
	if _, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", Out: w.out}); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("got %v", err)
	}
	w.serves(1)
	w.main(hash1)
	if got := w.status(2); got != hop3.ReleaseFailed {
		t.Errorf("v2 is %s", got)
	}
}

func TestFailedSourceLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.repos.fetchFails = hop3.Errorf(hop3.CodeInvalid, "no such repository")
	if _, err := w.CreateFromSource(t.Context(), alice, SourceRequest{App: "blog", Address: elsewhere, Out: w.out}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("got %v", err)
	}
	w.exists("blog", false)
	w.repos.fetchFails = nil
	if _, err := w.CreateFromSource(t.Context(), alice, SourceRequest{App: "blog", Address: "file:///etc", Out: w.out}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("got %v", err)
	}
	w.exists("blog", false)
	// With the source there, a build that fails leaves an app to set right.
	w.repos.elsewhere, w.builder.fail = hash1, hop3.Errorf(hop3.CodeDeploy, "broken")
	if _, err := w.CreateFromSource(t.Context(), alice, SourceRequest{App: "blog", Address: elsewhere, Out: w.out}); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Errorf("got %v", err)
	}
	w.exists("blog", true)
	w.main("")
	w.builder.fail = nil
	if _, err := w.DeploySource(t.Context(), alice, SourceRequest{App: "blog", Out: w.out}); err != nil {
		t.Error(err)
	}
	w.serves(2)
}

func (w *world) delivery(commit, ref string) hop3.WebhookEvent {
	return hop3.WebhookEvent{Host: "github", Digest: commit + ref, Kind: "push", Ref: ref, Commit: commit}
}

func (w *world) lastDelivery() hop3.WebhookDelivery {
	w.t.Helper()
	w.settled()
	all, err := w.Deliveries(w.t.Context(), alice, "blog", 1)
	if err != nil || len(all) != 1 {
		w.t.Fatalf("%v, %v", all, err)
	}
	return all[0]
}

func TestWebhook(t *testing.T) {
	w := newWorld(t)
	w.fetched()
	hook, err := w.SetWebhook(t.Context(), alice, "blog", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Webhook(t.Context(), "blog", "x"); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("another address: %v", err)
	}
	if got, err := w.Webhook(t.Context(), "blog", hook.ID); err != nil || got.Secret != hook.Secret || len(got.Secret) < 40 {
		t.Errorf("%v, %v", got, err)
	}
	w.repos.elsewhere = hash2
	if d, err := w.Deliver(t.Context(), "blog", w.delivery(hash2, "refs/heads/main")); err != nil || d.Status != hop3.DeliveryPending {
		t.Fatalf("%+v, %v", d, err)
	}
	if d := w.lastDelivery(); d.Status != hop3.DeliveryDeployed || d.Note != "v2" {
		t.Errorf("%+v", d)
	}
	w.serves(2)
	if _, err := w.Deliver(t.Context(), "blog", w.delivery(hash2, "refs/heads/main")); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("once more: %v", err)
	}
	// What failed may come again.
	for _, ends := range []hop3.DeliveryStatus{hop3.DeliveryFailed, hop3.DeliveryDeployed} {
		if _, err := w.Deliver(t.Context(), "blog", w.delivery(hash3, "refs/heads/main")); err != nil {
			t.Fatal(err)
		}
		if d := w.lastDelivery(); d.Status != ends {
			t.Errorf("%+v, want %s", d, ends)
		}
		w.repos.elsewhere = hash3
	}
	w.serves(3)
	// The address counts what comes, of each minute.
	allowed := 0
	for range 100 {
		if _, err := w.Webhook(t.Context(), "blog", hook.ID); err == nil {
			allowed++
		} else if hop3.CodeOf(err) != hop3.CodeUnavailable {
			t.Fatal(err)
		}
	}
	if allowed >= rateMost {
		t.Errorf("%d were allowed", allowed)
	}
	w.tick(rateWindow)
	if _, err := w.Webhook(t.Context(), "blog", hook.ID); err != nil {
		t.Error(err)
	}
}

// A message that the server's end interrupted is taken up by the next start.
func TestWebhookAfterACrash(t *testing.T) {
	w := newWorld(t)
	w.fetched()
	d, err := w.Store.NewDelivery(t.Context(), hop3.WebhookDelivery{App: "blog", Status: hop3.DeliveryPending, WebhookEvent: w.delivery(hash2, "refs/heads/main")})
	if err != nil {
		t.Fatal(err)
	}
	w.repos.elsewhere = hash2
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.resumeDeliveries(t.Context())
	if got := w.lastDelivery(); got.ID != d.ID || got.Status != hop3.DeliveryDeployed {
		t.Errorf("%+v", got)
	}
	w.serves(2)
}
