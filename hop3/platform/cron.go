package platform

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cron"
)

// cronJobs are the runs of cron entries that wait or are under way, and how far
// the schedules have been looked at. Every minute the entries of the running
// apps' live releases are asked whether they were due since the last look, so
// that no change of an app needs to be told.
type cronJobs struct {
	mu   sync.Mutex
	jobs []*cronJob // in the order they came
	// barred are the apps that begin no run, because they are being destroyed.
	barred map[string]bool

	// Of the scheduler only.
	looked time.Time               // up to when all turns were taken
	live   map[string]hop3.Release // app -> its live release, as last read
}

// Bounds on cron runs.
const (
	cronAtOnce      = 8   // runs under way on the server; the others wait
	cronAtOnceOfApp = 4   // of one app, so that it cannot take all turns
	cronOverlap     = 8   // runs of one entry that allows overlaps, waiting ones too
	cronKept        = 50  // runs kept in the history of an entry
	cronKeptOfApp   = 500 // and of an app
	cronTimeout     = time.Hour
	// cronCorrected is from how much on a jump of the clock is a correction of
	// it: then what lies in between is left out, or may come again. It is also
	// how late a turn may be taken. Cron takes three hours too.
	cronCorrected = 3 * time.Hour
)

// beginCron ends what an earlier server left in the history and starts the
// scheduler. What was due while no server ran is not made up for.
func (p *Platform) beginCron() {
	if err := p.Store.EndCronRuns(context.Background(), "the server ended"); err != nil {
		p.Logger.Error("ending the cron runs of an earlier server", zap.Error(err))
	}
	p.cron.looked = p.now().Round(0)
	p.Go("cron", p.scheduleCron)
}

// scheduleCron looks at the schedules at the beginning of each minute.
func (p *Platform) scheduleCron(ctx context.Context) {
	for {
		if err := p.takeTurns(ctx); err != nil && ctx.Err() == nil {
			p.Logger.Error("looking for due cron entries", zap.Error(err)) // the next look finds them
		}
		now := p.now().Round(0)
		select {
		case <-time.After(now.Truncate(time.Minute).Add(time.Minute).Sub(now)):
		case <-ctx.Done():
			return
		}
	}
}

// takeTurns begins what was due since the last look, each entry once, however
// often it was due. Only the wall clock counts, and it may jump.
func (p *Platform) takeTurns(ctx context.Context) error {
	c := &p.cron
	now := p.now().Round(0)
	passed := now.Sub(c.looked)
	switch {
	case passed.Abs() > cronCorrected:
		p.Logger.Warn("the clock has jumped: no cron entry is due in between", zap.Duration("by", passed))
		c.looked = now
		return nil
	case passed <= 0:
		return nil // until the clock is where it was, all turns were taken
	}
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return err
	}
	if err := p.readLive(ctx, apps); err != nil {
		return err
	}
	for _, app := range apps {
		r, ok := c.live[app.Name]
		if !ok || app.State != hop3.StateRunning {
			continue
		}
		for _, e := range r.Cron {
			due, err := nextTurn(e, r.Env, c.looked)
			if err != nil {
				p.Logger.Warn("a cron entry that cannot run", zap.String("app", app.Name), zap.String("entry", e.Name), zap.Error(err))
				continue
			}
			if !due.IsZero() && !due.After(now) {
				p.takeTurn(ctx, app.Name, e, due)
			}
		}
	}
	c.looked = now
	return nil
}

// readLive reads the live releases that have changed since the last look.
func (p *Platform) readLive(ctx context.Context, apps []hop3.App) error {
	live := make(map[string]hop3.Release, len(apps))
	for _, app := range apps {
		if app.Live == 0 {
			continue
		}
		r, ok := p.cron.live[app.Name]
		if !ok || r.Number != app.Live || !r.CreatedAt.After(app.CreatedAt) {
			var err error
			if r, err = p.Store.Release(ctx, app.Name, app.Live); hop3.CodeOf(err) == hop3.CodeNotFound {
				continue // the app is gone by now
			} else if err != nil {
				return err
			}
		}
		live[app.Name] = hop3.Release{App: r.App, Number: r.Number, Cron: r.Cron, CreatedAt: r.CreatedAt, Env: zoneOnly(r.Env)}
	}
	p.cron.live = live
	return nil
}

// takeTurn begins a run, or says in the history why there is none.
func (p *Platform) takeTurn(ctx context.Context, app string, e hop3.CronEntry, due time.Time) {
	j := &cronJob{app: app, entry: e.Name, due: due, done: make(chan struct{})}
	if before := p.addCron(j, e.Overlap); before != nil {
		p.skipTurn(ctx, before, j)
		return
	}
	p.startCron()
}

// skipTurn writes down that a turn was left out. The turns that pass while one
// run is under way share an entry of the history, which is short.
func (p *Platform) skipTurn(ctx context.Context, before, j *cronJob) {
	const why = "skipped: the run before still runs"
	now := p.now()
	var err error
	if before.skipped++; before.skipped == 1 {
		var r hop3.CronRun
		r, err = p.Store.NewCronRun(ctx, hop3.CronRun{App: j.app, Entry: j.entry, Release: p.cron.live[j.app].Number, Due: j.due, StartedAt: now, EndedAt: now, Error: why})
		before.skip = r.ID
	} else {
		_, err = p.Store.UpdateCronRun(ctx, before.skip, func(r *hop3.CronRun) error {
			r.EndedAt, r.Error = now, fmt.Sprintf("%s (%d turns)", why, before.skipped)
			return nil
		})
	}
	if err != nil && hop3.CodeOf(err) != hop3.CodeConflict {
		p.Logger.Warn("writing down a skipped cron turn", zap.String("app", j.app), zap.String("entry", j.entry), zap.Error(err))
	}
}

const zoneVariable = "TZ"

// zoneOnly keeps of the variables what says when entries are due.
func zoneOnly(vars hop3.Env) hop3.Env { return hop3.Env{zoneVariable: vars[zoneVariable]} }

// zoneOf returns the time zone of an entry: its own, else that of the app's
// variable TZ, else UTC.
func zoneOf(e hop3.CronEntry, vars hop3.Env) (*time.Location, error) {
	if e.TimeZone != "" {
		return cron.Zone(e.TimeZone)
	}
	return cron.Zone(vars[zoneVariable])
}

// nextTurn returns when an entry is due next after a time, in its zone.
func nextTurn(e hop3.CronEntry, vars hop3.Env, after time.Time) (time.Time, error) {
	zone, err := zoneOf(e, vars)
	if err != nil {
		return time.Time{}, err
	}
	s, err := cron.Parse(e.Schedule)
	if err != nil {
		return time.Time{}, fmt.Errorf("the schedule %q: %w", e.Schedule, err)
	}
	return s.Next(after, zone), nil
}

// checkCron refuses cron entries in a time zone that does not exist. What else
// may be wrong with them the manifest has refused.
func checkCron(entries []hop3.CronEntry, vars hop3.Env) error {
	var names []string
	for _, e := range entries {
		if e.TimeZone == "" {
			names = append(names, e.Name)
		}
	}
	if _, err := cron.Zone(vars[zoneVariable]); err != nil && len(names) > 0 {
		return hop3.Errorf(hop3.CodeInvalid, "The variable TZ says when the cron entries %s are due, but %.80q is not a time zone.", strings.Join(names, ", "), vars[zoneVariable]).
			WithHint("Set TZ to a name such as Europe/Paris, or give each [[cron]] its timezone.")
	}
	return nil
}

// tellCron says when the entries of a release are due.
func (p *Platform) tellCron(out hop3.Output, r hop3.Release) {
	for _, e := range r.Cron {
		if next, err := nextTurn(e, r.Env, p.now()); err == nil {
			say(out, "       cron %s (%s): next %s", e.Name, e.Schedule, next.Format("2006-01-02 15:04 MST"))
		}
	}
}
