package hop3test

import (
	"context"
	"fmt"
	"time"

	"github.com/abilian/hop3/hop3"
)

// NoticeDatabase is the part of a store that keeps notices until they were
// sent.
type NoticeDatabase interface {
	NotifyTargets(ctx context.Context) ([]hop3.NotifyTarget, error)
	AddNotifyTarget(ctx context.Context, t hop3.NotifyTarget, events ...hop3.Event) error
	RemoveNotifyTarget(ctx context.Context, name string, events ...hop3.Event) error
	NotifyCursor(ctx context.Context) (id int64, ok bool, err error)
	QueueNotices(ctx context.Context, cursor int64, notices []hop3.Notice) error
	Notices(ctx context.Context) ([]hop3.Notice, error)
	NoticeSent(ctx context.Context, n hop3.Notice, next time.Time, events ...hop3.Event) error
	NoticeFailed(ctx context.Context, n hop3.Notice, why string, next time.Time, events ...hop3.Event) error
}

func (s *storeStory) notices() {
	target := hop3.NotifyTarget{Name: "ops", Kind: hop3.NotifyWebhook, Address: "https://example.org/x", Secret: "s3cret", App: "blog", Kinds: []hop3.EventKind{"deploy"}, Severity: hop3.SeverityError, User: "alice"}
	s.ok(s.db.AddNotifyTarget(s.ctx, target))
	if err := s.db.AddNotifyTarget(s.ctx, target); hop3.CodeOf(err) != hop3.CodeConflict {
		s.Error(err)
	}
	if _, ok, err := s.db.NotifyCursor(s.ctx); ok || err != nil {
		s.Errorf("a cursor before the first: %v", err)
	}
	notice := hop3.Notice{Target: "ops", Merge: "app.crashed blog", Event: hop3.Event{ID: 3, Message: "one"}, Count: 1, First: time.Now().UTC().Truncate(time.Microsecond)}
	other := notice
	other.Merge, other.Event.Message = "", "other"
	last := notice
	last.Event.Message = "two"
	gone := notice
	gone.Target = "nobody"
	s.ok(s.db.QueueNotices(s.ctx, 7, []hop3.Notice{notice, other, other, last, gone}))
	if id, ok, err := s.connect().NotifyCursor(s.ctx); !ok || id != 7 || err != nil {
		s.Errorf("the cursor is %d, %v", id, err)
	}
	waiting := func() (all []hop3.Notice, text string) {
		all, err := s.db.Notices(s.ctx)
		s.ok(err)
		for _, n := range all {
			text += fmt.Sprintf("%d×%s/%d ", n.Count, n.Event.Message, n.Attempts)
		}
		return all, text
	}
	all, text := waiting()
	if text != "2×two/0 1×other/0 1×other/0 " || !all[0].First.Equal(notice.First) {
		s.Fatalf("there wait %s", text)
	}
	s.ok(s.db.NoticeFailed(s.ctx, all[0], "no route", time.Now().Add(time.Hour)))
	s.ok(s.db.NoticeFailed(s.ctx, all[1], "no route", time.Time{}))
	if targets, err := s.db.NotifyTargets(s.ctx); err != nil || len(targets) != 1 || targets[0].Status.Failures != 2 || targets[0].Status.Dropped != 1 ||
		targets[0].Status.Waiting != 2 || targets[0].Status.LastError != "no route" || targets[0].Status.FailingSince.IsZero() || targets[0].Secret != "s3cret" {
		s.Errorf("the targets are %+v, %v", targets, err)
	}
	// One more is merged while the notice is under way.
	all, _ = waiting()
	s.ok(s.db.QueueNotices(s.ctx, 8, []hop3.Notice{notice}))
	s.ok(s.db.NoticeSent(s.ctx, all[0], time.Now(), hop3.Event{Message: "restored"}))
	if _, text = waiting(); text != "1×one/0 1×other/0 " {
		s.Errorf("there wait %s", text)
	}
	if targets, err := s.db.NotifyTargets(s.ctx); err != nil || targets[0].Status.Failures != 0 || targets[0].Status.LastSent.IsZero() {
		s.Errorf("the targets are %+v, %v", targets, err)
	}
	many := make([]hop3.Notice, 250)
	for i := range many {
		many[i] = other
	}
	s.ok(s.db.QueueNotices(s.ctx, 9, many))
	targets, err := s.db.NotifyTargets(s.ctx)
	s.ok(err)
	if status := targets[0].Status; status.Waiting != 200 || status.Dropped != 53 {
		s.Errorf("the status is %+v", status)
	}
	s.ok(s.db.RemoveNotifyTarget(s.ctx, "ops"))
	if err := s.db.RemoveNotifyTarget(s.ctx, "ops"); hop3.CodeOf(err) != hop3.CodeNotFound {
		s.Error(err)
	}
	if _, text = waiting(); text != "" {
		s.Errorf("there wait %s", text)
	}
}
