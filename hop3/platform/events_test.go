package platform

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// told returns the events of a kind, or a group, as lines.
func (w *world) told(kind hop3.EventKind) string {
	w.t.Helper()
	w.settled()
	return w.toldNow(kind)
}

// toldNow does not wait for what is under way.
func (w *world) toldNow(kind hop3.EventKind) string {
	w.t.Helper()
	events, err := w.Store.Events(w.t.Context(), hop3.EventQuery{Kind: kind})
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, e := range events {
		lines = append(lines, fmt.Sprintf("%s %s@%s %s v%d: %s", e.Kind, e.Actor, e.Source, e.App, e.Release, e.Message))
	}
	return strings.Join(lines, "\n")
}

func TestADeployLeavesEvents(t *testing.T) {
	w := newWorld(t)
	ctx := As(t.Context(), Actor{Username: "alice", Source: "192.0.2.7"})
	if _, err := w.Deploy(ctx, alice, w.request("one")); err != nil {
		t.Fatal(err)
	}
	w.builder.fail = hop3.Errorf(hop3.CodeDeploy, "cannot log in with hunter2hunter2")
	request := w.request("two")
	request.Env = hop3.Env{"DB_PASSWORD": "hunter2hunter2"}
	if _, err := w.Deploy(ctx, alice, request); err == nil {
		t.Fatal("it was built")
	}
	want := `deploy.started alice@192.0.2.7 blog v1: building v1: upload of one
deploy.succeeded alice@192.0.2.7 blog v1: v1 serves: upload of one
deploy.started alice@192.0.2.7 blog v2: building v2: upload of two
deploy.failed alice@192.0.2.7 blog v2: v2 (upload): cannot log in with ***`
	if got := w.told("deploy"); got != want {
		t.Errorf("the events are\n%s\nwant\n%s", got, want)
	}
	if got, want := w.told("release"), "release.switched alice@192.0.2.7 blog v1: v1 (upload) serves"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// What is changed names the keys.
	if _, err := w.SetEnv(ctx, alice, "blog", hop3.Env{"API_KEY": "hunter2hunter2", "COLOUR": "blue"}, nil, w.out); err != nil {
		t.Fatal(err)
	}
	if got, want := w.told("config"), "config.changed alice@192.0.2.7 blog v3: changed: Variable API_KEY, Variable COLOUR"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A server that ends in the middle of a deploy: the next one tells how it ended.
func TestAnInterruptedDeployLeavesEvents(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	if _, err := w.Store.NewRelease(t.Context(), hop3.Release{App: "blog", Kind: hop3.ReleaseUpload, Status: hop3.ReleaseBuilding, User: "alice"}); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.told(hop3.EventDeployCanceled); !strings.HasPrefix(got, "deploy.canceled alice@ blog v2: v2 (upload): the server ended") || strings.Contains(got, "\n") {
		t.Error(got)
	}
}

// What did not happen is not told.
func TestNoEventOfNoChange(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	full := w.withFullStore()
	full.full = true
	if _, err := w.Deploy(t.Context(), alice, w.request("two")); err == nil {
		t.Fatal("it was deployed")
	}
	w.settled()
	if got := w.told(hop3.EventReleaseSwitched); strings.Contains(got, "v2") {
		t.Error(got)
	}
}

func TestACanceledDeployLeavesEvents(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.prober.hold = make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := w.Deploy(t.Context(), alice, w.request("two"))
		done <- err
	}()
	for under := false; !under; {
		more := w.Store.Appended()
		under = strings.Contains(w.toldNow("deploy.started"), "v2")
		if !under {
			<-more
		}
	}
	bob := Actor{Username: "bob", Source: "192.0.2.8"}
	if _, err := w.CancelDeploy(As(t.Context(), bob), bob, "blog"); err != nil {
		t.Fatal(err)
	}
	<-done
	got := w.told(hop3.EventDeployCanceled)
	for _, want := range []string{"deploy.canceled bob@192.0.2.8 blog v0: bob asked to cancel the deploy", "deploy.canceled alice@ blog v2: v2 (upload): canceled by bob"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestACanaryLeavesAnEvent(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.running.canaries.Store("blog", &trial{route: &hop3.CanaryRoute{Release: 2}, decide: make(chan error, 1)})
	if err := w.DecideCanary(t.Context(), alice, "blog", false); err != nil {
		t.Fatal(err)
	}
	if got := w.told(hop3.EventCanaryEnded); !strings.Contains(got, "the canary v2 was aborted") {
		t.Error(got)
	}
}

// A flood of what strangers can cause is a handful of events.
func TestFloodsAreCounted(t *testing.T) {
	w := newWorld(t)
	for i := range 3000 {
		e := hop3.Event{Kind: hop3.EventLoginFailed, Message: "wrong password for ada", Source: fmt.Sprint("192.0.2.", i%100)}
		w.noteBurst(e, e.Source)
	}
	if got := strings.Count(w.told("login"), "\n") + 1; got != maxBursts {
		t.Errorf("%d events", got)
	}
	w.happened(w.noted.bursts.ended(w.now().Add(burstWindow), false)...)
	all := w.told("login")
	if got := strings.Count(all, "\n") + 1; got != 2*maxBursts+1 || !strings.Contains(all, "29 more times since") {
		t.Errorf("%d events\n%s", got, all)
	}
}

func TestWhoSeesWhichEvents(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	w.settled()
	past := hop3.Event{Kind: hop3.EventAppDestroyed, App: "old", Actor: "bob", Source: "192.0.2.8", Message: "old"}
	add := func(e hop3.Event) {
		t.Helper()
		if err := w.Store.AddEvents(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	add(past)
	add(hop3.Event{Kind: hop3.EventLoginSucceeded, Actor: "bob", Source: "192.0.2.8", Message: "login of bob"})
	add(hop3.Event{Kind: hop3.EventLoginSucceeded, Actor: "alice", Source: "192.0.2.9", Message: "login of alice"})
	add(hop3.Event{Kind: hop3.EventAppRan, App: "blog", Actor: "bob", Source: "192.0.2.8", Message: "ran"})
	see := func(who Actor) (text string) {
		t.Helper()
		events, err := w.Events(t.Context(), who, hop3.EventQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			text += e.Source + " " + e.Message + "\n"
		}
		return text
	}
	if got := see(Actor{Username: "root", Admin: true}); !strings.Contains(got, "192.0.2.8 old\n192.0.2.8 login of bob\n192.0.2.9 login of alice\n192.0.2.8 ran\n") {
		t.Errorf("an administrator sees\n%s", got)
	}
	if got := see(alice); strings.Contains(got, "old") || strings.Contains(got, "bob") || strings.Contains(got, "192.0.2.8") || !strings.HasSuffix(got, "192.0.2.9 login of alice\n ran\n") {
		t.Errorf("alice sees\n%s", got)
	}
	if _, err := w.Events(t.Context(), alice, hop3.EventQuery{App: "old"}); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("of an app that is gone: %v", err)
	}
	if _, err := w.VerifyEvents(t.Context(), alice); hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Error(err)
	}
}

// Who follows sees each event once, those before, those after, also from a
// place on.
func TestFollowingEvents(t *testing.T) {
	w := newWorld(t)
	add := func(n int) {
		t.Helper()
		for range n {
			if err := w.Store.AddEvents(t.Context(), hop3.Event{Kind: hop3.EventAppRan, Actor: "alice"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(5)
	for _, q := range []hop3.EventQuery{{Limit: 3}, {After: 2}, {After: 2, Limit: 1}} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		ids, written := []int64{}, false
		stop := fmt.Errorf("enough")
		err := w.FollowEvents(ctx, alice, q, func(e hop3.Event) error {
			ids = append(ids, e.ID)
			if len(ids) == 3 && !written {
				written = true
				add(450) // more than a page, while it is read
			}
			if len(ids) == 453 {
				return stop
			}
			return nil
		})
		cancel()
		if err != stop || ids[0] != 3 && q.After == 2 {
			t.Fatalf("%v, %d events from %v on", err, len(ids), ids[:min(3, len(ids))])
		}
		for i := 1; i < len(ids); i++ {
			if ids[i] != ids[i-1]+1 {
				t.Fatalf("%d follows %d", ids[i], ids[i-1])
			}
		}
	}
}

// The end of a server does not wait for those who follow.
func TestFollowingEvents_TheServerEnds(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	followed, ended := make(chan hop3.Event, 100), make(chan error, 1)
	go func() {
		ended <- w.FollowEvents(t.Context(), alice, hop3.EventQuery{}, func(e hop3.Event) error { followed <- e; return nil })
	}()
	<-followed
	if err := w.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Error(err)
	}
}

// A disk that is almost full is told once, and once that it is not any more.
func TestALowDiskIsNoted(t *testing.T) {
	w := newWorld(t)
	look := func(needed int64, want string) {
		t.Helper()
		w.Settings.MinFreeSpace = needed
		w.watchDisk(t.Context())
		if got := w.told("disk"); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != strings.Count(want, "\n") {
			t.Errorf("when deploys need %d bytes the events are\n%s\nwant\n%s", needed, got, want)
		}
	}
	look(1, "")
	const more = 1 << 60 // than any disk has
	low := "disk.low @  v0: the disk is almost full: "
	look(more, low)
	look(more, low)
	left, _, err := w.room()
	if err != nil {
		t.Fatal(err)
	}
	look(int64(left.bytes*3/4), low) // enough for a deploy, and soon not any more
	w.Settings.MinFreeSpace = 1
	w.watchDisk(t.Context())
	if got := w.told("disk"); !strings.Contains(got, "\ndisk.recovered @  v0: the disk has room again: ") {
		t.Errorf("the events are\n%s", got)
	}
	w.Settings.MinFreeSpace = more
	w.watchDisk(t.Context())
	if got := w.told("disk"); strings.Count(got, "disk.low") != 2 {
		t.Errorf("the events are\n%s", got)
	}
}

// endingCerts say when certificates end: no real one can be 16 days old.
type endingCerts struct {
	fakeCerts
	ends map[string]hop3.Certificate
}

func (c *endingCerts) Certificate(_ context.Context, host string) hop3.Certificate {
	return c.ends[host]
}

// A certificate that ends soon is told once: one that users brought two weeks
// before, one of an authority when it should have been renewed by then.
func TestACertificateThatEndsIsNoted(t *testing.T) {
	w := newWorld(t)
	certs := &endingCerts{ends: map[string]hop3.Certificate{}}
	w.Certs = certs
	w.at("2026-03-04 05:06:30")
	req := w.request("one")
	req.Env = hop3.Env{hop3.HostName: "own.example.com acme.example.com"}
	if _, err := w.Deploy(t.Context(), alice, req); err != nil {
		t.Fatal(err)
	}
	in := func(days int) time.Time { return w.now().AddDate(0, 0, days) }
	set := func(host string, kind string, end time.Time) {
		certs.ends[host] = hop3.Certificate{Host: host, Kind: kind, NotAfter: end}
	}
	set("own.example.com", hop3.CertificateCustom, in(13))
	set("acme.example.com", hop3.CertificateACME, in(13))
	w.watchExpiry(t.Context())
	want := "certificate.expiring @ blog v0: the certificate for own.example.com ends on 2026-03-17"
	if got := w.told("certificate"); got != want {
		t.Errorf("the events are\n%s", got)
	}
	w.at("2026-03-11 05:06:30") // the other one has not been renewed
	for range 2 {
		w.watchExpiry(t.Context())
	}
	want += "\ncertificate.expiring @ blog v0: the certificate for acme.example.com ends on 2026-03-17"
	if got := w.told("certificate"); got != want {
		t.Errorf("the events are\n%s", got)
	}
	set("own.example.com", hop3.CertificateCustom, in(90))
	set("acme.example.com", hop3.CertificateACME, in(5)) // another one, which ends soon too
	w.at("2026-03-11 06:07:30")
	w.watchExpiry(t.Context())
	want += "\ncertificate.expiring @ blog v0: the certificate for acme.example.com ends on 2026-03-16"
	if got := w.told("certificate"); got != want {
		t.Errorf("the events are\n%s", got)
	}
}

func TestCrashesAreNoted(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	restarts, exit := 0, ""
	w.runtime.change = func(i *hop3.Instance) { i.Restarts, i.LastExit = restarts, exit }
	known := w.noteCrashes(t.Context(), nil)
	for _, step := range []struct{ exit, want string }{
		{"exit status 1", "app.crashed @ blog v1: web.1 of 'blog' ended: exit status 1"},
		{"out of memory (limit 64 MiB)", "app.oom @ blog v1: web.1 of 'blog' ended: out of memory (limit 64 MiB)"},
		{healthWhy + "no answer", ""},
	} {
		restarts, exit = restarts+1, step.exit
		before := w.told("app")
		known = w.noteCrashes(t.Context(), known)
		if got := strings.TrimPrefix(strings.TrimPrefix(w.told("app"), before), "\n"); got != step.want {
			t.Errorf("%s: %q, want %q", step.exit, got, step.want)
		}
	}
}

// A server that ends does not wait for who follows it, and goes on with the rest.
func TestFollowingEndsWithTheServer(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	ended := make(chan error, 2)
	go func() {
		ended <- w.FollowEvents(t.Context(), alice, hop3.EventQuery{}, func(hop3.Event) error { return nil })
	}()
	go func() {
		ended <- w.Logs(t.Context(), alice, "blog", hop3.LogQuery{Follow: true}, func(LogLine) error { return nil })
	}()
	w.EndFollowing()
	for range 2 {
		if err := <-ended; hop3.CodeOf(err) != hop3.CodeUnavailable {
			t.Errorf("who followed is told %v", err)
		}
	}
	if err := w.Logs(t.Context(), alice, "blog", hop3.LogQuery{}, func(LogLine) error { return nil }); err != nil {
		t.Errorf("who looks once is told %v", err)
	}
	w.deployed("two")
}
