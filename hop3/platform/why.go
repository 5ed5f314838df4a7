package platform

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Explanation says why a request failed.
type Explanation struct {
	Failure  hop3.Failure
	Instance string     // that was asked: "web.1"; "" for none
	Said     []string   // sentences, in the order of what happened
	Log      []LogLine  // what the instance, or the app, wrote at that time
	Hint     string     // what to do next
	Exit     *hop3.Exit // the end of the instance that belongs to it; nil for none
}

// What belongs to a failure: an instance that ended this long before or after
// it, and a release that began to serve as long before it.
const (
	exitBefore    = time.Minute
	exitAfter     = 5 * time.Second
	releaseBefore = 5 * time.Minute
	logBefore     = 10 * time.Second
	logAfter      = 2 * time.Second
	logLines      = 10
)

// Why explains what happened to the requests with an id, the newest first.
// Usually that is one; a client can choose an id that others have. An id that
// nobody has is a CodeNotFound error.
func (p *Platform) Why(ctx context.Context, who Actor, id string) ([]Explanation, error) {
	found, err := p.failuresOf(ctx, who, id)
	if err != nil {
		return nil, err
	}
	const most = 5
	found = found[:min(len(found), most)]
	out := make([]Explanation, len(found))
	for n, f := range found {
		if out[n], err = p.explain(ctx, f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Private

func (p *Platform) explain(ctx context.Context, f hop3.Failure) (Explanation, error) {
	e := Explanation{Failure: f}
	app, err := p.Store.App(ctx, f.App)
	if err != nil {
		return e, err
	}
	e.say("%s", summary(f))
	instance, err := p.asked(ctx, f)
	if err != nil {
		return e, err
	}
	if instance != nil {
		e.Instance = instanceName(*instance)
	}
	e.say("%s", reason(f, e.Instance))
	if e.Exit = exitOf(f, instance); e.Exit != nil {
		e.say("%s", exitSentence(f, e.Instance, *e.Exit))
	}
	if err := p.sayState(ctx, &e, app, instance); err != nil {
		return e, err
	}
	e.Hint = hint(e)
	e.Log, err = p.logAround(ctx, f, instance)
	return e, err
}

func (e *Explanation) say(format string, args ...any) {
	e.Said = append(e.Said, fmt.Sprintf(format, args...))
}

// asked returns the instance that a request was sent to, as it is now; nil
// when that is not known.
func (p *Platform) asked(ctx context.Context, f hop3.Failure) (*hop3.Instance, error) {
	if f.Upstream == "" || f.Release == 0 {
		return nil, nil
	}
	instances, err := p.Runtime.Instances(ctx, hop3.ReleaseID{App: f.App, Number: f.Release})
	if err != nil {
		return nil, err
	}
	for _, i := range instances {
		if i.Upstream == f.Upstream {
			return &i, nil
		}
	}
	return nil, nil
}

// exitOf returns the end of an instance that a failure belongs to: the last one
// before it was over.
func exitOf(f hop3.Failure, i *hop3.Instance) (found *hop3.Exit) {
	if i == nil {
		return nil
	}
	before := exitBefore
	switch f.Cause {
	case hop3.FailureSlow, hop3.FailureReset, hop3.FailureCut, hop3.FailureProtocol:
		before = 0 // it was there when the request came
	}
	for _, exit := range i.Exits {
		if !exit.At.Before(f.Began().Add(-before)) && !exit.At.After(f.Time.Add(exitAfter)) {
			found = &exit
		}
	}
	return found
}

// sayState tells what else is known of the app at that time, and of now.
func (p *Platform) sayState(ctx context.Context, e *Explanation, app hop3.App, instance *hop3.Instance) error {
	f := e.Failure
	releases, err := p.Store.Releases(ctx, f.App)
	if err != nil {
		return err
	}
	for _, r := range releases {
		switch {
		case r.LiveAt.IsZero(), r.LiveAt.After(f.Time.Add(exitAfter)):
		case r.LiveAt.After(f.Began().Add(-releaseBefore)):
			e.say("Release v%d had begun to serve at %s.", r.Number, clock(r.LiveAt))
		}
		if r.Number == f.Release && instance != nil {
			p.sayLimits(e, r)
		}
	}
	switch {
	case app.State == hop3.StateFailed && app.Error != "":
		e.say("The app does not run since release v%d: %s", app.Live, sentence(app.Error))
	case app.Live != f.Release && f.Release != 0 && app.Live != 0:
		e.say("Release v%d serves now.", app.Live)
	}
	sick, trouble := p.running.snapshot(f.App)
	if why := sick[e.Instance]; why != "" && app.Live == f.Release {
		e.say("%s gets no requests now, because it is sick: %s", e.Instance, sentence(why))
	}
	if app.Asleep && trouble != "" && trouble != f.Detail {
		e.say("The last attempt to wake it failed: %s", sentence(trouble))
	}
	if instance == nil && f.Upstream != "" {
		e.say("The instance that was asked does not exist any more: its release v%d was stopped.", f.Release)
	}
	if instance != nil && instance.State != hop3.InstanceRunning && e.Exit == nil {
		e.say("%s does not run now.", e.Instance)
	}
	return nil
}

// sayLimits tells of the limit that an instance ran into.
func (p *Platform) sayLimits(e *Explanation, r hop3.Release) {
	if e.Exit == nil || !outOfMemory(*e.Exit) || r.Limits.Memory == 0 || p.Settings.LimitsMissing != nil {
		return
	}
	e.say("All instances of the release together may take %d MB of memory.", r.Limits.Memory>>20)
}

func outOfMemory(exit hop3.Exit) bool { return strings.HasPrefix(exit.How, "out of memory") }

// logAround returns what the instance wrote last until the request failed, of
// the whole app when the instance is not known.
func (p *Platform) logAround(ctx context.Context, f hop3.Failure, i *hop3.Instance) ([]LogLine, error) {
	q := hop3.LogQuery{Lines: 10_000, Since: f.Began().Add(-logBefore)}
	if i != nil {
		q.Type, q.Ordinal = i.Type, i.Ordinal
	}
	var last []LogLine
	err := p.Files.Logs(ctx, p.logDir(f.App), q, func(entry hop3.LogEntry) error {
		if !entry.Time.IsZero() && entry.Time.After(f.Time.Add(logAfter)) {
			return nil
		}
		last = append(last, LogLine{Instance: entry.Instance, Time: entry.Time, Text: printable(entry.Text)})
		last = last[max(len(last)-logLines, 0):]
		return nil
	})
	return last, err
}
