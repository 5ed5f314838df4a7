package platform

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// EventLog is the part of the store that remembers what happened.
type EventLog interface {
	// AddEvents stores events that belong to no other change.
	AddEvents(ctx context.Context, events ...hop3.Event) error
	// Events returns the events that the query chooses, the newest last.
	Events(ctx context.Context, q hop3.EventQuery) ([]hop3.Event, error)
	// Appended returns a channel that is closed when the next event is stored.
	Appended() <-chan struct{}
	// VerifyEvents checks that no event was altered or taken away. It returns
	// a CodeConflict error that says which was.
	VerifyEvents(ctx context.Context) (hop3.EventChain, error)
	// PruneEvents forgets the events from before a time, and the oldest of
	// those beyond most. The newest one stays.
	PruneEvents(ctx context.Context, before time.Time, most int) error
}

type actorKey struct{}

// As returns a context of what who asks for: it is they who did what happens
// with it. Without, it is the server itself.
func As(ctx context.Context, who Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// askedBy returns who asked for what ctx is passed to; zero for the server.
func askedBy(ctx context.Context) Actor {
	who, _ := ctx.Value(actorKey{}).(Actor)
	return who
}

// event makes an event of what ctx is passed to.
func event(ctx context.Context, kind hop3.EventKind, app, format string, args ...any) hop3.Event {
	who := askedBy(ctx)
	return hop3.Event{Kind: kind, Actor: who.Username, Source: who.Source, App: app, Message: inOneLine(fmt.Sprintf(format, args...))}
}

// releaseEvent is event of a release, whose user is who did it when the
// context does not say.
func releaseEvent(ctx context.Context, kind hop3.EventKind, r hop3.Release, format string, args ...any) hop3.Event {
	e := event(ctx, kind, r.App, format, args...)
	e.Release = r.Number
	if e.Actor == "" {
		e.Actor = r.User
	}
	return e
}

// inOneLine makes a message one line that is harmless to a terminal.
func inOneLine(text string) string {
	text = escape.ReplaceAllString(strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD"), "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return '\uFFFD'
		}
		return r
	}, text)
}

// noted are the events that are to be stored and belong to no change.
type noted struct {
	mu      sync.Mutex
	waiting []hop3.Event
	lost    int
	writing bool
	bursts  bursts
}

// maxNoted bounds the events that wait for the database.
const maxNoted = 1000

// happened stores events that belong to no change, soon: its caller does not
// wait. When the database cannot keep up, or is full, they are lost, and the
// log says so.
func (p *Platform) happened(events ...hop3.Event) {
	n := &p.noted
	n.mu.Lock()
	defer n.mu.Unlock()
	if room := maxNoted - len(n.waiting); len(events) > room {
		n.lost += len(events) - room
		events = events[:room]
	}
	n.waiting = append(n.waiting, events...)
	if !n.writing && len(n.waiting) > 0 {
		n.writing = p.Go("events", p.writeNoted)
	}
}

func (p *Platform) writeNoted(context.Context) {
	for {
		events, lost, ok := p.noted.take()
		if !ok {
			return
		}
		if lost > 0 {
			p.Logger.Warn("events were lost: there were too many", zap.Int("events", lost))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // also when the server ends
		if err := p.Store.AddEvents(ctx, events...); err != nil {
			p.Logger.Error("storing events", zap.Int("events", len(events)), zap.Error(err))
		}
		cancel()
	}
}

func (n *noted) take() (events []hop3.Event, lost int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	events, lost, n.waiting, n.lost = n.waiting, n.lost, nil, 0
	n.writing = len(events) > 0
	return events, lost, n.writing
}

// Events returns the events that the query chooses and who may see, the newest
// last. An administrator sees all. Others see what happened to apps they may
// see, and what they did themselves; where others came from they do not see.
func (p *Platform) Events(ctx context.Context, who Actor, q hop3.EventQuery) ([]hop3.Event, error) {
	events, _, err := p.events(ctx, who, q)
	return events, err
}

const defaultEvents = 200

// events is Events, and says up to which event it looked.
func (p *Platform) events(ctx context.Context, who Actor, q hop3.EventQuery) (found []hop3.Event, looked int64, err error) {
	view, err := p.eventView(ctx, who, q.App)
	if err != nil {
		return nil, 0, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultEvents
	}
	q.Limit, looked = max(limit, defaultEvents), q.After
	forward := q.After > 0
	for {
		page, err := p.Store.Events(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		if len(page) > 0 {
			looked = max(looked, page[len(page)-1].ID)
			q.Before = page[0].ID
		}
		if forward {
			found, q.After, q.Before = append(found, view(page)...), looked, 0
		} else {
			found = append(view(page), found...)
		}
		if len(page) < q.Limit || len(found) >= limit {
			break
		}
	}
	switch {
	case len(found) <= limit:
	case forward:
		found = found[:limit]
		looked = found[limit-1].ID
	default:
		found = found[len(found)-limit:]
	}
	return found, looked, nil
}

// FollowEvents calls each with the events that Events returns, and then with
// those that come, until ctx is done or it returns an error. With q.After it
// begins behind that one. When the server ends it is a CodeUnavailable error:
// who follows goes on with the next one.
func (p *Platform) FollowEvents(ctx context.Context, who Actor, q hop3.EventQuery, each func(hop3.Event) error) error {
	ctx, done := p.following(ctx)
	defer done()
	return followed(ctx, p.followEvents(ctx, who, q, each))
}

// followed is the error of what was followed under ctx.
func followed(ctx context.Context, err error) error {
	if context.Cause(ctx) == errShutdown {
		return hop3.Errorf(hop3.CodeUnavailable, "The server is shutting down. Try again in a moment.")
	}
	return err
}

func (p *Platform) followEvents(ctx context.Context, who Actor, q hop3.EventQuery, each func(hop3.Event) error) error {
	for {
		more := p.Store.Appended() // before the look: nothing falls between
		if q.After > 0 {
			q.Limit = defaultEvents // what the caller limits is what is before
		}
		events, looked, err := p.events(ctx, who, q)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := each(e); err != nil {
				return err
			}
		}
		full := q.After > 0 && len(events) == q.Limit
		if q.After = max(q.After, looked); full {
			continue // there may be more
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// VerifyEvents checks that no event was altered or taken away. It is for
// administrators.
func (p *Platform) VerifyEvents(ctx context.Context, who Actor) (hop3.EventChain, error) {
	if err := adminOnly(who); err != nil {
		return hop3.EventChain{}, err
	}
	return p.Store.VerifyEvents(ctx)
}

// eventView returns what of some events who may see. Asking for an app that
// they may not see is the error that asking for its status is.
func (p *Platform) eventView(ctx context.Context, who Actor, app string) (func([]hop3.Event) []hop3.Event, error) {
	if who.Admin {
		if app != "" {
			if err := p.everHad(ctx, app); err != nil {
				return nil, err
			}
		}
		return func(events []hop3.Event) []hop3.Event { return events }, nil
	}
	visible := map[string]time.Time{} // since when
	if app != "" {
		a, _, err := p.app(ctx, who, app, hop3.RoleViewer)
		if err != nil {
			return nil, err
		}
		visible[app] = a.CreatedAt
	} else {
		apps, err := p.visible(ctx, who)
		if err != nil {
			return nil, err
		}
		for _, a := range apps {
			visible[a.Name] = a.CreatedAt
		}
	}
	return func(events []hop3.Event) []hop3.Event {
		var seen []hop3.Event
		for _, e := range events {
			own := e.Actor == who.Username && e.Actor != ""
			// An app of the same name may have been somebody else's before.
			since, ok := visible[e.App]
			if !own && (!ok || e.Time.Before(since.Truncate(time.Second))) {
				continue
			}
			if !own {
				e.Source = ""
			}
			seen = append(seen, e)
		}
		return seen
	}, nil
}

// everHad reports a CodeNotFound error about an app that there is not, and of
// which no event is known either.
func (p *Platform) everHad(ctx context.Context, app string) error {
	_, err := p.Store.App(ctx, app)
	if hop3.CodeOf(err) != hop3.CodeNotFound {
		return err
	}
	events, other := p.Store.Events(ctx, hop3.EventQuery{App: app, Limit: 1})
	if other == nil && len(events) > 0 {
		return nil
	}
	return err
}

// changedVariables are the changes of variables, without their values.
func changedVariables(prefix string, before, after hop3.Env) []hop3.Difference {
	changes := variables(before, after)
	for i := range changes {
		changes[i].Property = prefix + changes[i].Property
	}
	return changes
}

// changeNames lists what changed: "Variable COLOUR, Process web".
func changeNames(changes []hop3.Difference) string {
	const most = 5
	names := make([]string, 0, len(changes))
	for _, c := range changes {
		names = append(names, c.Property)
	}
	if len(names) > most {
		names = append(slices.Clip(names[:most]), fmt.Sprintf("%d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}
