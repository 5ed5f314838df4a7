package platform

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/waf"
)

// guarded gives the world a firewall, as a new server on its home has it.
func (w *world) guarded() {
	w.t.Helper()
	w.Firewall = waf.New(waf.Options{Dir: filepath.Join(w.home, "waf", "log"), Save: w.SaveBan, Logger: slog.New(slog.DiscardHandler)})
	if err := w.loadFirewall(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestFirewallsAreCheckedBeforeTheyAreUsed(t *testing.T) {
	w := newWorld(t)
	gate := &hop3.WAF{Paranoia: 1, Gates: []hop3.WAFGate{{Paths: []string{"/x"}, Network: "office"}}}
	check := func(firewall *hop3.WAF, want string) {
		t.Helper()
		err := w.checkFirewall(t.Context(), firewall)
		if want == "" && err != nil || want != "" && (hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	check(nil, "")
	check(gate, "has no web application firewall")
	w.guarded()
	check(gate, "does not know: office")
	if _, err := w.AddNetwork(t.Context(), Actor{Admin: true}, "office", []string{"203.0.113.0/24", "2001:db8::/32", "203.0.113.0/24"}); err != nil {
		t.Fatal(err)
	}
	check(gate, "")
	check(&hop3.WAF{Paranoia: 1, Tunings: []hop3.WAFTuning{{Rules: []int{7}}}}, "no rule 7")
	for _, bad := range [][]string{{}, {"office"}, {"203.0.113.7/24"}, {"203.0.113.0/24; rm"}, {"fe80::1%eth0"}} {
		if _, err := w.AddNetwork(t.Context(), Actor{Admin: true}, "home", bad); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, name := range []string{"", "any", "auth", "-x", "a b", "a\nb", strings.Repeat("a", 65)} {
		if _, err := w.AddNetwork(t.Context(), Actor{Admin: true}, name, []string{"10.0.0.0/8"}); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}

	// A live release keeps the network; so does a release that only serves again.
	r := w.deployed("one")
	if _, err := w.Store.UpdateRelease(t.Context(), "blog", r.Number, func(r *hop3.Release) error { r.WAF = gate; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := w.RemoveNetwork(t.Context(), Actor{Admin: true}, "office"); hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "Gates of blog") {
		t.Error(err)
	}
	w.deployed("two")
	if err := w.RemoveNetwork(t.Context(), Actor{Admin: true}, "office"); err != nil {
		t.Error(err)
	}
	if _, err := w.Rollback(t.Context(), alice, "blog", r.Number, w.out); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a rollback to gates that lead nowhere: %v", err)
	}
	w.serves(2)
}

func TestBansOutliveTheServer(t *testing.T) {
	w := newWorld(t)
	w.guarded()
	w.deployed("one")
	now := w.now()
	ban := hop3.Ban{App: "blog", Source: "2001:db8::/64", Reason: "allow", Since: now, Expires: now.Add(time.Hour)}
	if err := w.SaveBan(ban); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	w.guarded()
	if bans, err := w.Bans(t.Context(), Actor{Admin: true}); err != nil || len(bans) != 1 || bans[0].Source != ban.Source {
		t.Errorf("%+v, %v", bans, err)
	}
	if _, err := w.ClearBans(t.Context(), Actor{Admin: true}, "blog", "nonsense"); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Error(err)
	}
	if n, err := w.ClearBans(t.Context(), Actor{Admin: true}, "blog", "2001:db8::42"); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := w.ClearBans(t.Context(), Actor{Admin: true}, "nobody", ""); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Error(err)
	}
}

// What strangers sent is shown on terminals.
func TestFirewallEventsDriveNoTerminal(t *testing.T) {
	w := newWorld(t)
	w.Firewall = hostile{}
	events, err := w.FirewallEvents(t.Context(), Actor{Admin: true}, "", 1)
	if err != nil || len(events) != 1 || events[0].Path != "/a  b" || strings.ContainsAny(events[0].Rule, "\x1b\n\u202e") {
		t.Errorf("%q, %v", events, err)
	}
}

// hostile is a firewall whose log somebody wrote to: the real one's has no such
// bytes.
type hostile struct{ Firewall }

func (hostile) Events(string, int) ([]hop3.WAFEvent, error) {
	return []hop3.WAFEvent{{App: "blog", Path: "/a\x1b[2J\n\x1b]0;x\x07 b", Rule: "\u202e1\x9b2J"}}, nil
}
