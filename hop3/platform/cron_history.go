package platform

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/abilian/hop3/hop3"
)

// CronStatus is what there is to know of a cron entry.
type CronStatus struct {
	Entry hop3.CronEntry
	Zone  string       // the name of its time zone
	Next  time.Time    // in Zone; zero when the app does not run
	Last  hop3.CronRun // the run that began last; ID 0: none yet
}

// CronEntries returns the cron entries of an app's live release, none when it
// has no release.
func (p *Platform) CronEntries(ctx context.Context, who Actor, name string) ([]CronStatus, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil || app.Live == 0 {
		return nil, err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return nil, err
	}
	var all []CronStatus
	for _, e := range live.Cron {
		s := CronStatus{Entry: e}
		if zone, err := zoneOf(e, live.Env); err == nil {
			s.Zone = zone.String()
		}
		if app.State == hop3.StateRunning {
			if s.Next, err = nextTurn(e, live.Env, p.now()); err != nil {
				return nil, err
			}
		}
		last, err := p.Store.CronRuns(ctx, name, e.Name, 1)
		if err != nil {
			return nil, err
		}
		if len(last) > 0 {
			s.Last = last[0]
		}
		all = append(all, s)
	}
	return all, nil
}

// RunCron runs an entry of the app's live release now and waits for its end.
// What it writes goes to out too. When ctx ends first the run goes on, and what
// is known of it by then is returned: EndedAt is zero, and so is ID while it
// waits for other runs. It returns a CodeConflict error when the entry runs
// already and does not allow that.
func (p *Platform) RunCron(ctx context.Context, who Actor, name, entry string, out io.Writer) (hop3.CronRun, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleDeployer)
	if err == nil && app.Live == 0 {
		err = hop3.Errorf(hop3.CodeConflict, "App '%s' has never been deployed.", name)
	}
	if err != nil {
		return hop3.CronRun{}, err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return hop3.CronRun{}, err
	}
	e, err := entryOf(live, entry)
	if err != nil {
		return hop3.CronRun{}, err
	}
	j := &cronJob{app: name, entry: entry, out: &detachable{w: out}, done: make(chan struct{})}
	if p.addCron(j, e.Overlap) != nil {
		return hop3.CronRun{}, hop3.Errorf(hop3.CodeConflict, "Cron entry '%s' of app '%s' runs already.", entry, name).
			WithHint("`hop3 cron logs %s --app %s` shows its runs. With overlap = true in its [[cron]] they may overlap.", entry, name)
	}
	p.happened(releaseEvent(ctx, hop3.EventCronRun, live, "the cron entry %s of '%s' was run by hand", entry, name))
	p.startCron()
	defer j.out.detach()
	select {
	case <-j.done:
		if j.err != nil {
			return hop3.CronRun{}, j.err
		}
	case <-ctx.Done():
	}
	p.cron.mu.Lock()
	defer p.cron.mu.Unlock()
	return j.current, nil
}

// CronRuns returns the last n runs of an entry, of all entries of the app when
// it is "", newest first. An entry that the app does not have any more may
// still have runs.
func (p *Platform) CronRuns(ctx context.Context, who Actor, name, entry string, n int) ([]hop3.CronRun, error) {
	if err := p.may(ctx, who, name, hop3.RoleViewer); err != nil {
		return nil, err
	}
	runs, err := p.Store.CronRuns(ctx, name, entry, n)
	if err != nil || len(runs) > 0 || entry == "" {
		return runs, err
	}
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return nil, err
	}
	var live hop3.Release
	if app.Live != 0 {
		if live, err = p.Store.Release(ctx, name, app.Live); err != nil {
			return nil, err
		}
	}
	live.App = name
	_, err = entryOf(live, entry)
	return nil, err
}

// CronLog calls line with each line that a run wrote, as people may see it.
func (p *Platform) CronLog(ctx context.Context, who Actor, name string, id int64, line func(string) error) (hop3.CronRun, error) {
	if err := p.may(ctx, who, name, hop3.RoleViewer); err != nil {
		return hop3.CronRun{}, err
	}
	run, err := p.Store.CronRun(ctx, name, id)
	if err != nil || run.LogFile == "" {
		return run, err
	}
	return run, p.readLog(ctx, name, cronLogs+"/"+run.LogFile, fmt.Sprintf("cron run %d", id), line)
}
