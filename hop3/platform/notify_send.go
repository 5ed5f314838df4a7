package platform

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

const (
	// noticeQuiet is how long notices alike are collected after one was sent.
	noticeQuiet = 5 * time.Minute
	// noticeGivesUp is when a notice that does not arrive is given up.
	noticeGivesUp = 24 * time.Hour
	// failingAfter is after how many failures in a row that is an event.
	failingAfter = 5
	// noticeTick is how often is looked for what is due, when nothing happens.
	noticeTick = 10 * time.Second
)

// sendNotices makes notices of the events and sends them, until ctx ends. What
// was not sent by then, the next server sends: a notice may come twice, with
// the same ID, and never not at all while its target is there to take it.
func (p *Platform) sendNotices(ctx context.Context) {
	if p.Notifier == nil {
		return
	}
	quiet := &quietness{until: map[string]time.Time{}}
	tick := time.NewTicker(noticeTick)
	defer tick.Stop()
	for {
		more := p.Store.Appended()
		p.guard("sending notices", func() {
			if err := p.queueNotices(ctx, quiet); err != nil && ctx.Err() == nil {
				p.Logger.Warn("making notices", zap.Error(err))
			}
			if err := p.sendDue(ctx, quiet); err != nil && ctx.Err() == nil {
				p.Logger.Warn("sending notices", zap.Error(err))
			}
		})
		select {
		case <-more:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// quietness is until when a target is to hear no more of the same.
type quietness struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (q *quietness) of(target, merge string) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.until[target+"\x00"+merge]
}

func (q *quietness) begin(target, merge string, now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, until := range q.until {
		if now.After(until) {
			delete(q.until, key)
		}
	}
	q.until[target+"\x00"+merge] = now.Add(noticeQuiet)
	return now.Add(noticeQuiet)
}

// queueNotices makes notices of the events that are new, up to the last one.
// The first server that can begins with what happens then.
func (p *Platform) queueNotices(ctx context.Context, quiet *quietness) error {
	cursor, ok, err := p.Store.NotifyCursor(ctx)
	if err != nil {
		return err
	}
	if !ok {
		last, err := p.Store.Events(ctx, hop3.EventQuery{Limit: 1})
		if err != nil || len(last) == 0 {
			return err
		}
		return p.Store.QueueNotices(ctx, last[0].ID, nil)
	}
	for {
		events, err := p.Store.Events(ctx, hop3.EventQuery{After: max(cursor, 1), Limit: 500})
		if err != nil || len(events) == 0 {
			return err
		}
		targets, err := p.Store.NotifyTargets(ctx)
		if err != nil {
			return err
		}
		var notices []hop3.Notice
		for _, e := range events {
			cursor = e.ID
			for _, t := range targets {
				if t.Wants(e) {
					notices = append(notices, notice(t, e, quiet))
				}
			}
		}
		if err := p.Store.QueueNotices(ctx, cursor, notices); err != nil {
			return err
		}
	}
}

func notice(t hop3.NotifyTarget, e hop3.Event, quiet *quietness) hop3.Notice {
	if t.App != "" {
		e.Source = "" // who reads it may not be an administrator
	}
	n := hop3.Notice{Target: t.Name, Event: e, Count: 1, First: e.Time}
	switch e.Kind {
	case hop3.EventAppCrashed, hop3.EventAppOOM, hop3.EventHealthFailed, hop3.EventHealthRecovered, hop3.EventLoginFailed, hop3.EventCronFailed, hop3.EventWebhookRefused, hop3.EventCertificateFailed:
		n.Merge = string(e.Kind) + " " + e.App
		n.Next = quiet.of(t.Name, n.Merge)
	}
	return n
}

// sendDue sends the notices whose time has come, those of different targets at
// the same time. A target that does not take one gets no other for now.
func (p *Platform) sendDue(ctx context.Context, quiet *quietness) error {
	waiting, err := p.Store.Notices(ctx)
	if err != nil || len(waiting) == 0 {
		return err
	}
	targets, err := p.Store.NotifyTargets(ctx)
	if err != nil {
		return err
	}
	now := p.now()
	var sending sync.WaitGroup
	for _, t := range targets {
		var due []hop3.Notice
		for _, n := range waiting {
			if n.Target == t.Name && !n.Next.After(now) {
				due = append(due, n)
			}
		}
		if len(due) == 0 {
			continue
		}
		sending.Go(func() {
			p.guard("sending a notice", func() {
				for _, n := range due {
					if t, ok := p.sendNotice(ctx, t, n, quiet); !ok || t.Status.Failures > 0 {
						return
					}
				}
			})
		})
	}
	sending.Wait()
	return nil
}

// sendNotice sends one and writes down how it went; ok is false when that could
// not be done, or the server ends.
func (p *Platform) sendNotice(ctx context.Context, t hop3.NotifyTarget, n hop3.Notice, quiet *quietness) (_ hop3.NotifyTarget, ok bool) {
	err := p.Notifier.Send(ctx, t, n)
	if ctx.Err() != nil {
		return t, false
	}
	settle := context.WithoutCancel(ctx)
	if err == nil {
		var events []hop3.Event
		if t.Status.Failures >= failingAfter {
			events = append(events, targetEvent(ctx, hop3.EventNotifyRestored, t, "notices reach %s again", t.Name))
		}
		next := p.now()
		if n.Merge != "" {
			next = quiet.begin(t.Name, n.Merge, next)
		}
		err = p.Store.NoticeSent(settle, n, next, events...)
		t.Status.Failures = 0
	} else {
		t.Status.Failures++
		why := inOneLine(hop3.MessageOf(err))
		var events []hop3.Event
		if t.Status.Failures == failingAfter {
			events = append(events, targetEvent(ctx, hop3.EventNotifyFailing, t, "notices do not reach %s: %s", t.Name, why))
		}
		next := p.now().Add(noticePause(n.Attempts))
		if p.now().Sub(n.First) > noticeGivesUp {
			next = time.Time{}
		}
		err = p.Store.NoticeFailed(settle, n, why, next, events...)
	}
	if err != nil {
		p.Logger.Error("settling a notice", zap.String("target", t.Name), zap.Error(err))
	}
	return t, err == nil
}

// noticePause is how long after so many attempts the next one is made.
func noticePause(attempts int) time.Duration {
	return min(10*time.Second<<min(attempts, 10), time.Hour)
}
