package platform

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Notices is the part of the store that keeps the targets of notices, and the
// notices until they were sent.
type Notices interface {
	NotifyTargets(ctx context.Context) ([]hop3.NotifyTarget, error)                                     // ordered by name
	AddNotifyTarget(ctx context.Context, t hop3.NotifyTarget, events ...hop3.Event) error               // CodeConflict
	RemoveNotifyTarget(ctx context.Context, name string, events ...hop3.Event) error                    // CodeNotFound
	NotifyCursor(ctx context.Context) (id int64, ok bool, err error)                                    // ok is false before the first
	QueueNotices(ctx context.Context, cursor int64, notices []hop3.Notice) error                        // what waits and has the same Merge becomes one
	Notices(ctx context.Context) ([]hop3.Notice, error)                                                 // oldest first
	NoticeSent(ctx context.Context, n hop3.Notice, next time.Time, e ...hop3.Event) error               // what was merged meanwhile stays, until next
	NoticeFailed(ctx context.Context, n hop3.Notice, why string, next time.Time, e ...hop3.Event) error // next zero: given up
}

// Notifier sends notices. See hop3/notify.
type Notifier interface {
	Send(ctx context.Context, t hop3.NotifyTarget, n hop3.Notice) error
}

// maxTargets is how many targets there are.
const maxTargets = 100

// AddNotifyTarget adds a target of notices and returns it as it is stored, with
// a name, and a secret where a webhook was given none. Those of the whole
// server are for administrators.
func (p *Platform) AddNotifyTarget(ctx context.Context, who Actor, t hop3.NotifyTarget) (hop3.NotifyTarget, error) {
	if err := p.checkTargetApp(ctx, who, t.App); err != nil {
		return t, err
	}
	all, err := p.Store.NotifyTargets(ctx)
	if err != nil {
		return t, err
	}
	if len(all) >= maxTargets {
		return t, hop3.Errorf(hop3.CodeConflict, "There are %d targets of notices: no more fit.", maxTargets)
	}
	if t.Name == "" {
		t.Name = t.Kind + "-" + strings.ToLower(rand.Text()[:6])
	}
	if t.Kind == hop3.NotifyWebhook && t.Secret == "" {
		t.Secret = rand.Text() + rand.Text()
	}
	t.User = who.Username
	if err := t.Validate(); err != nil {
		return t, err
	}
	return t, p.Store.AddNotifyTarget(ctx, t, targetEvent(ctx, hop3.EventNotifyAdded, t, "notices go to %s (%s)", t.Name, t.Kind))
}

// NotifyTargets returns the targets that who may see, of an app, or of all with
// "". Their secrets are left out.
func (p *Platform) NotifyTargets(ctx context.Context, who Actor, app string) ([]hop3.NotifyTarget, error) {
	if app != "" {
		if err := p.checkTargetApp(ctx, who, app); err != nil {
			return nil, err
		}
	}
	all, err := p.Store.NotifyTargets(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t hop3.NotifyTarget) bool {
		return app != "" && t.App != app || p.checkTargetApp(ctx, who, t.App) != nil && !who.Admin
	})
	for i := range all {
		all[i].Address, all[i].Secret = all[i].Shown(), ""
	}
	return all, nil
}

// RemoveNotifyTarget removes a target, with the notices that wait for it.
func (p *Platform) RemoveNotifyTarget(ctx context.Context, who Actor, name string) error {
	t, err := p.target(ctx, who, name)
	if err != nil {
		return err
	}
	return p.Store.RemoveNotifyTarget(ctx, name, targetEvent(ctx, hop3.EventNotifyRemoved, t, "no more notices go to %s (%s)", t.Name, t.Kind))
}

// TestNotifyTarget sends a test to a target and returns why it did not arrive.
func (p *Platform) TestNotifyTarget(ctx context.Context, who Actor, name string) error {
	t, err := p.target(ctx, who, name)
	if err != nil {
		return err
	}
	if p.Notifier == nil {
		return hop3.Errorf(hop3.CodeUnavailable, "this server sends no notices")
	}
	e := targetEvent(ctx, hop3.EventNotifyTested, t, "a test of %s", t.Name)
	p.happened(e)
	e.Time = p.now()
	return p.Notifier.Send(ctx, t, hop3.Notice{Target: name, Event: e, Count: 1, First: e.Time})
}

// target returns a target that who may change, as it is stored.
func (p *Platform) target(ctx context.Context, who Actor, name string) (hop3.NotifyTarget, error) {
	all, err := p.Store.NotifyTargets(ctx)
	if err != nil {
		return hop3.NotifyTarget{}, err
	}
	for _, t := range all {
		if t.Name == name && (who.Admin || p.checkTargetApp(ctx, who, t.App) == nil) {
			return t, nil
		}
	}
	return hop3.NotifyTarget{}, hop3.Errorf(hop3.CodeNotFound, "Target '%.60s' not found.", name).WithHint("`hop3 notify list` lists them.")
}

func (p *Platform) checkTargetApp(ctx context.Context, who Actor, app string) error {
	if app == "" {
		return adminOnly(who)
	}
	return p.may(ctx, who, app, hop3.RoleDeployer)
}

func targetEvent(ctx context.Context, kind hop3.EventKind, t hop3.NotifyTarget, format string, args ...any) hop3.Event {
	e := event(ctx, kind, t.App, format, args...)
	e.Data = map[string]string{"target": t.Name, "kind": t.Kind}
	return e
}
