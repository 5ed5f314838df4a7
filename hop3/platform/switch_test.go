package platform

import (
	"testing"

	"github.com/abilian/hop3/hop3"
)

// A release that was only found ready never serves by itself, and belongs to
// the branch's move: both are there, or neither.
func TestReadyRelease(t *testing.T) {
	for name, c := range map[string]struct {
		branch string
		crash  bool
		want   hop3.ReleaseStatus
	}{
		"the branch moved":                 {hash2, false, hop3.ReleaseReady},
		"the branch stayed":                {hash1, false, hop3.ReleaseFailed},
		"a crash after the branch moved":   {hash2, true, hop3.ReleaseReady},
		"a crash before the branch moved":  {hash1, true, hop3.ReleaseFailed},
		"a crash, and the branch is other": {noHash, true, hop3.ReleaseFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deployed("one")
			push := w.push(hash1, hash2)
			received := w.received(hash1, hash2)
			received.Options = []string{"no-switch"}
			if err := push.PreReceive(t.Context(), received); err != nil {
				t.Fatal(err)
			}
			w.repos.refs["refs/heads/main"] = c.branch
			if c.crash {
				w.reboot()
				if err := w.Reconcile(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else {
				push.Settle(t.Context(), nil)
			}
			w.serves(1)
			if got := w.status(2); got != c.want {
				t.Errorf("release 2 is %s, want %s", got, c.want)
			}
			r, err := w.Switch(t.Context(), alice, "blog", 2, w.out)
			if c.want == hop3.ReleaseFailed {
				if hop3.CodeOf(err) != hop3.CodeConflict {
					t.Errorf("switching to it: %v", err)
				}
				return
			}
			if err != nil || r.Ref != nil {
				t.Errorf("%+v, %v", r, err)
			}
			w.serves(2)
		})
	}
}

// One that does not become ready once more stays ready: it may be tried again.
func TestSwitchThatFails(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	push := w.push(hash1, hash2)
	received := w.received(hash1, hash2)
	received.Options = []string{"no-switch"}
	if err := push.PreReceive(t.Context(), received); err != nil {
		t.Fatal(err)
	}
	w.repos.refs["refs/heads/main"] = hash2
	push.Settle(t.Context(), nil)
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "no answer")
	if _, err := w.Switch(t.Context(), alice, "blog", 2, w.out); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Errorf("got %v", err)
	}
	w.serves(1)
	if got := w.status(2); got != hop3.ReleaseReady {
		t.Errorf("release 2 is %s", got)
	}
}
