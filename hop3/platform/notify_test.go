package platform

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// postbox takes notices, or refuses them. What it stands for, hop3/notify has
// tests of; here it matters when it is asked.
type postbox struct {
	mu   sync.Mutex
	fail error
	got  []string
}

func (b *postbox) Send(_ context.Context, t hop3.NotifyTarget, n hop3.Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail == nil {
		b.got = append(b.got, fmt.Sprintf("%s %d×%s", t.Name, n.Count, n.Event.Kind))
	}
	return b.fail
}

func (b *postbox) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.got = nil }()
	return strings.Join(b.got, ", ")
}

func (w *world) notices(t *testing.T, quiet *quietness) {
	t.Helper()
	w.settled()
	if err := w.queueNotices(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
	if err := w.sendDue(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
}

func TestNotices(t *testing.T) {
	w := newWorld(t)
	box := &postbox{}
	w.Notifier = box
	quiet := &quietness{until: map[string]time.Time{}}
	w.deployed("one")
	root := Actor{Username: "root", Admin: true}
	for _, target := range []hop3.NotifyTarget{
		{Name: "ops", Kind: hop3.NotifyWebhook, Address: "https://example.org", Severity: hop3.SeverityError},
		{Name: "all-of-blog", Kind: hop3.NotifySlack, Address: "https://example.org", App: "blog", Kinds: []hop3.EventKind{"deploy.succeeded", "app"}},
	} {
		if _, err := w.AddNotifyTarget(t.Context(), root, target); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.AddNotifyTarget(t.Context(), alice, hop3.NotifyTarget{Kind: hop3.NotifySlack, Address: "https://example.org"}); hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Errorf("alice gets notices of the server: %v", err)
	}
	w.notices(t, quiet) // what was before is nobody's
	if got := box.take(); got != "" {
		t.Errorf("of the past: %s", got)
	}
	w.deployed("two")
	w.builder.fail = hop3.Errorf(hop3.CodeDeploy, "no")
	if _, err := w.Deploy(t.Context(), alice, w.request("three")); err == nil {
		t.Fatal("it was built")
	}
	w.notices(t, quiet)
	if got := box.take(); got != "ops 1×deploy.failed, all-of-blog 1×deploy.succeeded" && got != "all-of-blog 1×deploy.succeeded, ops 1×deploy.failed" {
		t.Errorf("sent: %s", got)
	}

	// A crash loop: the first at once, the others together.
	crash := func() {
		w.happened(hop3.Event{Kind: hop3.EventAppCrashed, App: "blog"})
		w.notices(t, quiet)
	}
	crash()
	if got := box.take(); strings.Count(got, "1×app.crashed") != 2 {
		t.Errorf("sent: %s", got)
	}
	for range 14 {
		crash()
	}
	if got := box.take(); got != "" {
		t.Errorf("sent too early: %s", got)
	}
	w.time.jump(noticeQuiet + time.Second)
	w.notices(t, quiet)
	if got := box.take(); strings.Count(got, "14×app.crashed") != 2 {
		t.Errorf("sent: %s", got)
	}

	// A target that does not answer: one event, no loop, and all arrives later,
	// also after the server's end.
	box.fail = hop3.Errorf(hop3.CodeUnavailable, "no route")
	w.happened(hop3.Event{Kind: hop3.EventDiskLow})
	for range 12 {
		w.notices(t, quiet)
		w.time.jump(time.Hour + time.Minute)
	}
	failing, err := w.Store.Events(t.Context(), hop3.EventQuery{Kind: hop3.EventNotifyFailing})
	if err != nil || len(failing) != 1 {
		t.Errorf("%d events of a failing target, %v", len(failing), err)
	}
	targets, err := w.NotifyTargets(t.Context(), root, "")
	if err != nil || targets[1].Status.Failures < failingAfter || targets[1].Status.LastError != "no route" {
		t.Errorf("%+v, %v", targets, err)
	}
	box.fail = nil
	w.reboot()
	w.Notifier = box
	w.notices(t, &quietness{until: map[string]time.Time{}})
	if got := box.take(); got != "ops 1×disk.low" {
		t.Errorf("after the restart: %s", got)
	}
}

func (c *testClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}
