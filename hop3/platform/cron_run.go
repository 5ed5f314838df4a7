package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// cronJob is a run of a cron entry that waits for its turn or is under way.
type cronJob struct {
	app, entry string
	due        time.Time // zero: a person asked for it
	out        *detachable

	// Guarded by cronJobs.mu.
	begun   bool
	end     context.CancelCauseFunc // ends it, once it has begun
	uses    hop3.ReleaseID          // whose files it needs; Number 0: none yet
	ended   error                   // why it is to end
	current hop3.CronRun            // what is known so far; ID 0 while it waits

	done chan struct{}
	err  error // why there was no run at all; set before done is closed

	// Of the scheduler: turns that were left out because of this run.
	skipped int
	skip    int64 // the history's entry for them
}

var errTimedOut = errors.New("timed out")

// addCron queues a job. It returns the job of the same entry that is in its
// way, if one is, having done nothing.
func (p *Platform) addCron(j *cronJob, overlap bool) (before *cronJob) {
	c := &p.cron
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, other := range c.jobs {
		if other.app != j.app || other.entry != j.entry {
			continue
		}
		if n++; !overlap || n >= cronOverlap {
			return other
		}
	}
	c.jobs = append(c.jobs, j)
	return nil
}

// startCron begins as many of the jobs that wait as may run, in their order.
func (p *Platform) startCron() {
	c := &p.cron
	c.mu.Lock()
	var begin []*cronJob
	n, ofApp := 0, map[string]int{}
	for _, j := range c.jobs {
		if j.begun {
			n++
			ofApp[j.app]++
		}
	}
	for _, j := range c.jobs {
		if !j.begun && n < cronAtOnce && ofApp[j.app] < cronAtOnceOfApp {
			n++
			ofApp[j.app]++
			j.begun = true
			begin = append(begin, j)
		}
	}
	c.mu.Unlock()
	for _, j := range begin {
		if !p.Go("cron run", func(ctx context.Context) { p.runCron(ctx, j) }) {
			j.err = hop3.Errorf(hop3.CodeUnavailable, "The server is shutting down. Try again in a moment.")
			p.leaveCron(j)
		}
	}
}

// leaveCron takes a job that is done from the list.
func (p *Platform) leaveCron(j *cronJob) {
	c := &p.cron
	c.mu.Lock()
	c.jobs = slices.DeleteFunc(c.jobs, func(other *cronJob) bool { return other == j })
	c.mu.Unlock()
	close(j.done)
}

// runCron runs a job to its end, and then lets the next one begin.
func (p *Platform) runCron(ctx context.Context, j *cronJob) {
	defer p.startCron()
	defer p.leaveCron(j)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.cron.mu.Lock()
	j.end = cancel
	if j.ended != nil {
		cancel(j.ended)
	}
	p.cron.mu.Unlock()

	r, e, err := p.cronRelease(ctx, j)
	if err == nil {
		err = p.runEntry(ctx, j, r, e)
	}
	j.err = err
	// An app that stopped, or a turn that was taken before the clock went
	// back, is no failure.
	if err != nil && !j.due.IsZero() && !slices.Contains([]hop3.Code{hop3.CodeConflict, hop3.CodeNotFound, hop3.CodeCanceled}, hop3.CodeOf(err)) && ctx.Err() == nil {
		p.Logger.Error("running a cron entry", zap.String("app", j.app), zap.String("entry", j.entry), zap.Error(err))
	}
}

// cronRelease returns the live release of the job's app, whose files are then
// kept for it, and the entry as it is there.
func (p *Platform) cronRelease(ctx context.Context, j *cronJob) (r hop3.Release, e hop3.CronEntry, err error) {
	for {
		app, err := p.Store.App(ctx, j.app)
		switch {
		case err != nil:
			return r, e, err
		case app.Live == 0:
			return r, e, hop3.Errorf(hop3.CodeConflict, "App '%s' has never been deployed.", j.app)
		case !j.due.IsZero() && app.State != hop3.StateRunning:
			return r, e, hop3.Errorf(hop3.CodeConflict, "App '%s' does not run.", j.app)
		}
		// Still live after it was held: nobody has pruned it in between.
		if app.Live == r.Number {
			e, err = entryOf(r, j.entry)
			return r, e, err
		}
		if r, err = p.Store.Release(ctx, j.app, app.Live); err != nil {
			return r, e, err
		}
		p.cron.mu.Lock()
		j.uses = r.ID()
		barred := p.cron.barred[j.app]
		p.cron.mu.Unlock()
		if barred {
			return r, e, hop3.Errorf(hop3.CodeConflict, "App '%s' is being destroyed.", j.app)
		}
	}
}

// entryOf returns the release's entry of a name.
func entryOf(r hop3.Release, name string) (hop3.CronEntry, error) {
	var names []string
	for _, e := range r.Cron {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	err := hop3.Errorf(hop3.CodeInvalid, "App '%s' has no cron entry '%.80s'.", r.App, name)
	if len(names) == 0 {
		return hop3.CronEntry{}, err.WithHint("It has none: a Procfile declares them in lines such as `cron: @daily command`.")
	}
	return hop3.CronEntry{}, err.WithHint("It has: %s.", strings.Join(names, ", "))
}

// runEntry runs an entry's command and keeps its history.
func (p *Platform) runEntry(ctx context.Context, j *cronJob, r hop3.Release, e hop3.CronEntry) error {
	run, err := p.Store.NewCronRun(ctx, hop3.CronRun{App: r.App, Entry: e.Name, Release: r.Number, Due: j.due, StartedAt: p.now()})
	if err != nil {
		return err
	}
	log, err := p.cronLog(ctx, j, &run)
	if err != nil {
		p.Logger.Warn("opening a cron run's log", zap.String("app", r.App), zap.Error(err))
	}
	p.note(j, run)
	timeout := e.Timeout
	if timeout == 0 {
		timeout = cronTimeout
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errTimedOut)
	defer cancel()
	exit, err := p.Runtime.Run(limited, p.launch(r), hop3.OneOff{Shell: e.Command, Name: e.Name, Stdout: log, Stderr: log})
	if closeErr := log.close(); closeErr != nil {
		p.Logger.Warn("writing a cron run's log", zap.String("app", r.App), zap.Error(closeErr))
	}
	why, cause := "", context.Cause(limited)
	if err != nil {
		why = whyEnded(err, cause, timeout)
	}
	run, err = p.Store.UpdateCronRun(context.WithoutCancel(ctx), run.ID, func(run *hop3.CronRun) error {
		run.EndedAt, run.Exit, run.Error = p.now(), exit, why
		return nil
	})
	if err != nil {
		return err
	}
	p.note(j, run)
	if (run.Exit != 0 || run.Error != "") && (cause == nil || errors.Is(cause, errTimedOut)) { // else somebody ended it
		p.noteBurst(cronFailed(r, run), r.App+"/"+e.Name)
	}
	p.pruneCron(r.App)
	return nil
}

// cronFailed is the event of a run that did not do its work.
func cronFailed(r hop3.Release, run hop3.CronRun) hop3.Event {
	how := run.Error
	if how == "" {
		how = fmt.Sprintf("exit status %d", run.Exit)
	}
	e := releaseEvent(context.Background(), hop3.EventCronFailed, r, "the cron entry %s of '%s' failed: %s", run.Entry, r.App, concealed(r.Env, how))
	e.Actor = "" // who ran it by hand has an event of that
	e.Data = map[string]string{"entry": run.Entry, "run": strconv.FormatInt(run.ID, 10)}
	if run.Error == "" {
		e.Data["exit"] = strconv.Itoa(run.Exit)
	}
	return e
}

// whyEnded says why a run has no exit code.
func whyEnded(err, cause error, timeout time.Duration) string {
	switch {
	case errors.Is(cause, errTimedOut):
		return "timed out after " + brief(timeout)
	case errors.Is(cause, errShutdown):
		return "the server ended"
	case cause != nil:
		return cause.Error()
	}
	return hop3.MessageOf(err)
}

// brief writes a duration without what is zero: "1h", "1h30m".
func brief(d time.Duration) string {
	s := d.Round(time.Millisecond).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// note makes what is known of a job's run known to who waits for it.
func (p *Platform) note(j *cronJob, run hop3.CronRun) {
	p.cron.mu.Lock()
	defer p.cron.mu.Unlock()
	j.current = run
}

// cronLog opens the file that receives a run's output. Without one the run
// goes on.
func (p *Platform) cronLog(ctx context.Context, j *cronJob, run *hop3.CronRun) (*runLog, error) {
	log := &runLog{also: j.out}
	name := fmt.Sprintf("%s.%d.log", run.Entry, run.ID)
	f, err := p.Files.Create(p.logDir(run.App), cronLogs+"/"+name)
	if err != nil {
		return log, err
	}
	log.file = f
	updated, err := p.Store.UpdateCronRun(ctx, run.ID, func(r *hop3.CronRun) error {
		r.LogFile = name
		return nil
	})
	if err == nil {
		*run = updated
	}
	return log, err
}

// cronLogs is the directory, in an app's log directory, of the runs' logs.
const cronLogs = "cron"

// pruneCron forgets what is old of an app's history, with the logs.
func (p *Platform) pruneCron(app string) {
	gone, err := p.Store.PruneCronRuns(context.Background(), app, cronKept, cronKeptOfApp)
	for _, r := range gone {
		if r.LogFile != "" {
			err = errors.Join(err, p.Files.Remove(filepath.Join(p.logDir(app), cronLogs, filepath.Base(r.LogFile))))
		}
	}
	if err != nil {
		p.Logger.Warn("pruning the cron history", zap.String("app", app), zap.Error(err))
	}
}

// endCron ends the app's runs, those that wait too, and returns when none is
// left, or ctx ends.
func (p *Platform) endCron(ctx context.Context, app string, why error) {
	c := &p.cron
	c.mu.Lock()
	jobs := slices.Clone(c.jobs)
	jobs = slices.DeleteFunc(jobs, func(j *cronJob) bool { return j.app != app })
	var waiting []*cronJob
	for _, j := range jobs {
		j.ended = why
		switch {
		case j.end != nil:
			j.end(why)
		case !j.begun:
			j.begun = true // by nobody
			waiting = append(waiting, j)
		}
	}
	c.mu.Unlock()
	for _, j := range waiting {
		j.err = hop3.Errorf(hop3.CodeCanceled, "The run of '%s' was ended: %w", j.entry, why)
		p.leaveCron(j)
	}
	for _, j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
			return
		}
	}
}

// barCron keeps the app from beginning runs, until the returned function is
// called.
func (p *Platform) barCron(app string) (free func()) {
	c := &p.cron
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.barred == nil {
		c.barred = map[string]bool{}
	}
	c.barred[app] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.barred, app)
	}
}

// usedByCron returns the releases whose files are needed by cron runs.
func (p *Platform) usedByCron() []hop3.ReleaseID {
	p.cron.mu.Lock()
	defer p.cron.mu.Unlock()
	var ids []hop3.ReleaseID
	for _, j := range p.cron.jobs {
		if j.uses.Number != 0 {
			ids = append(ids, j.uses)
		}
	}
	return ids
}
