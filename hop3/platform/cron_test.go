package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// cronWorld is a world whose app has cron lines and whose commands do what the
// test says.
type cronWorld struct {
	*world
	begun chan *cronRun // each command that begins
}

// cronRun is a command of an entry under way, until the test lets it end.
type cronRun struct {
	launch hop3.Launch
	cmd    hop3.OneOff
	exit   chan int
}

// cronSource is an app with lines of its own in its Procfile.
type cronSource struct {
	fakeSource
	lines string
}

func (s cronSource) CheckOut(ctx context.Context, dir string) error {
	return errors.Join(s.fakeSource.CheckOut(ctx, dir), os.WriteFile(filepath.Join(dir, "Procfile"), []byte("web: serve\n"+s.lines), 0o644))
}

func newCronWorld(t *testing.T, lines string) *cronWorld {
	w := &cronWorld{world: newWorld(t), begun: make(chan *cronRun, 100)}
	w.runtime.run = func(ctx context.Context, l hop3.Launch, cmd hop3.OneOff) (int, error) {
		r := &cronRun{launch: l, cmd: cmd, exit: make(chan int, 1)}
		w.begun <- r
		select {
		case exit := <-r.exit:
			return exit, nil
		case <-ctx.Done():
			return 0, fmt.Errorf("running: %w", context.Cause(ctx))
		}
	}
	w.at("2026-03-04 05:06:30")
	w.deploys(lines)
	w.cron.looked = w.now()
	return w
}

func (w *cronWorld) deploys(lines string) hop3.Release {
	w.t.Helper()
	req := w.request("one")
	req.Source = cronSource{fakeSource{"one"}, lines}
	r, err := w.Deploy(w.t.Context(), alice, req)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// at sets the clock.
func (w *world) at(clock string) {
	w.t.Helper()
	t, err := time.Parse(time.DateTime, clock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.time.mu.Lock()
	defer w.time.mu.Unlock()
	w.time.t = t
}

// turns sets the clock and looks at the schedules.
func (w *cronWorld) turns(clock string) {
	w.t.Helper()
	w.at(clock)
	if err := w.takeTurns(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// begins waits for the commands that have begun, ordered by name.
func (w *cronWorld) begins(names ...string) []*cronRun {
	w.t.Helper()
	var runs []*cronRun
	var got []string
	for range names {
		select {
		case r := <-w.begun:
			runs = append(runs, r)
		case <-time.After(20 * time.Second):
			w.t.Fatalf("only %d commands began, want %v", len(runs), names)
		}
	}
	slices.SortFunc(runs, func(a, b *cronRun) int { return strings.Compare(a.cmd.Name, b.cmd.Name) })
	for _, r := range runs {
		got = append(got, r.cmd.Name)
	}
	if !slices.Equal(got, names) {
		w.t.Fatalf("%v began, want %v", got, names)
	}
	return runs
}

// none checks that nothing runs, waits or begins.
func (w *cronWorld) none() {
	w.t.Helper()
	w.settled()
	if len(w.begun) > 0 {
		w.t.Fatalf("%s began", (<-w.begun).cmd.Name)
	}
}

// history is the runs of blog, newest first: "cron.1 05:07 v1 exit 0".
func (w *cronWorld) history() []string {
	w.t.Helper()
	runs, err := w.CronRuns(w.t.Context(), alice, "blog", "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, r := range runs {
		due, result := "asked", fmt.Sprintf("exit %d", r.Exit)
		if !r.Due.IsZero() {
			due = r.Due.Format("15:04")
		}
		if r.Error != "" {
			result = r.Error
		}
		if r.EndedAt.IsZero() {
			result = "runs"
		}
		out = append(out, fmt.Sprintf("%s %s v%d %s", r.Entry, due, r.Release, result))
	}
	return out
}

func (w *cronWorld) wantHistory(want ...string) {
	w.t.Helper()
	if got := w.history(); !slices.Equal(got, want) {
		w.t.Errorf("the history is %q, want %q", got, want)
	}
}

func TestCron_AnEntryRunsWhenItIsDue(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * poll all\ncron: 8 5 * * * daily\n")
	w.turns("2026-03-04 05:06:59")
	w.none()
	w.turns("2026-03-04 05:07:00")
	r := w.begins("cron.1")[0]
	if r.cmd.Shell != "poll all" || r.launch.ID.Number != 1 || r.launch.Env["APP"] != "blog" {
		t.Errorf("the run is %+v in %+v", r.cmd, r.launch)
	}
	w.wantHistory("cron.1 05:07 v1 runs")
	r.exit <- 0
	w.none()
	w.turns("2026-03-04 05:07:10")
	w.none()
	w.turns("2026-03-04 05:08:01")
	runs := w.begins("cron.1", "cron.2")
	runs[0].exit <- 3
	runs[1].exit <- 0
	w.none()
	got := w.history()
	slices.Sort(got[:2])
	if want := []string{"cron.1 05:08 v1 exit 3", "cron.2 05:08 v1 exit 0", "cron.1 05:07 v1 exit 0"}; !slices.Equal(got, want) {
		t.Errorf("the history is %q", got)
	}
}

func TestCron_TheClockJumps(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * x\n")
	takes := func(clock string, n int) {
		t.Helper()
		w.turns(clock)
		for range n {
			w.begins("cron.1")[0].exit <- 0
		}
		w.none()
	}
	takes("2026-03-04 05:07:00", 1)
	takes("2026-03-04 05:06:58", 0) // back by a little
	takes("2026-03-04 05:07:00", 0) // the same minute again
	takes("2026-03-04 05:07:30", 0)
	takes("2026-03-04 06:30:00", 1) // an hour ahead: one run for all that was due
	takes("2026-03-04 06:31:00", 1)
	takes("2030-03-04 06:31:00", 0) // a wrong clock
	takes("2030-03-04 06:32:00", 1)
	takes("2026-03-04 06:31:30", 0) // and its correction
	takes("2026-03-04 06:32:00", 1)
	takes("2026-03-04 06:33:00", 1)
	takes("2026-03-04 02:00:00", 0)
	takes("2026-03-04 05:06:30", 0) // 3 hours ahead again, and a turn that was taken before
	w.cron.looked = w.now()
	takes("2026-03-04 05:07:00", 0)
}

func TestCron_ARunThatIsNotDoneIsNotOverlapped(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * x\n")
	w.turns("2026-03-04 05:07:00")
	first := w.begins("cron.1")[0]
	w.turns("2026-03-04 05:08:00")
	w.wantHistory("cron.1 05:08 v1 skipped: the run before still runs", "cron.1 05:07 v1 runs")
	w.turns("2026-03-04 05:09:00")
	if _, err := w.RunCron(t.Context(), alice, "blog", "cron.1", io.Discard); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("a person's run beside: %v", err)
	}
	first.exit <- 0
	w.none()
	w.turns("2026-03-04 05:10:00")
	w.begins("cron.1")[0].exit <- 1
	w.none()
	w.wantHistory("cron.1 05:10 v1 exit 1", "cron.1 05:08 v1 skipped: the run before still runs (2 turns)", "cron.1 05:07 v1 exit 0")
}

// deploysCron replaces the live release's entries.
func (w *cronWorld) deploysCron(entries ...hop3.CronEntry) {
	w.t.Helper()
	unlock, app, live, err := w.lockLive(w.t.Context(), "blog")
	if err != nil {
		w.t.Fatal(err)
	}
	defer unlock()
	if _, err := w.rereleaseLocked(w.t.Context(), alice, app, live, hop3.ReleaseUpload, func(r *hop3.Release) { r.Cron = entries }, w.out); err != nil {
		w.t.Fatal(err)
	}
}

func TestCron_OverlapsThatAreAskedForAreBounded(t *testing.T) {
	w := newCronWorld(t, "")
	w.deploysCron(hop3.CronEntry{Name: "poll", Schedule: "* * * * *", Command: "x", Overlap: true})
	for minute := range cronOverlap + 1 {
		w.turns(fmt.Sprintf("2026-03-04 05:%02d:00", 7+minute))
	}
	runs := w.begins(slices.Repeat([]string{"poll"}, cronAtOnceOfApp)...)
	if !slices.Contains(w.history(), "poll 05:15 v2 skipped: the run before still runs") {
		t.Errorf("the history is %q", w.history())
	}
	for _, r := range runs {
		r.exit <- 0
	}
	for _, r := range w.begins(slices.Repeat([]string{"poll"}, cronOverlap-cronAtOnceOfApp)...) {
		r.exit <- 0
	}
	w.none()
}

func TestCron_TooManyRunsWaitInOrder(t *testing.T) {
	w := newCronWorld(t, strings.Repeat("cron: 7 5 * * * x\n", 6))
	w.turns("2026-03-04 05:07:00")
	runs := w.begins("cron.1", "cron.2", "cron.3", "cron.4")
	for i, next := range []string{"cron.5", "cron.6"} {
		runs[i].exit <- 0
		runs = append(runs, w.begins(next)...)
	}
	for _, r := range runs[2:] {
		r.exit <- 0
	}
	w.none()
	if n := len(w.history()); n != 6 {
		t.Errorf("%d runs are in the history", n)
	}
}

func TestCron_ARunTimesOut(t *testing.T) {
	w := newCronWorld(t, "")
	w.deploysCron(hop3.CronEntry{Name: "slow", Schedule: "* * * * *", Command: "x", Timeout: time.Millisecond})
	w.turns("2026-03-04 05:07:00")
	w.begins("slow")
	w.none()
	w.wantHistory("slow 05:07 v2 timed out after 1ms")
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 20 * time.Second: "20s"} {
		if got := brief(d); got != want {
			t.Errorf("%s is written %s", want, got)
		}
	}
}

// An entry that fails each minute is an event, and one more each hour.
func TestCron_AFailureIsAnEvent(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * poll all\n")
	start := w.now().Truncate(time.Minute)
	minute := func(n, exit int) {
		w.turns(start.Add(time.Duration(n) * time.Minute).Format(time.DateTime))
		w.begins("cron.1")[0].exit <- exit
		w.settled()
	}
	minute(1, 0)
	if got := w.told("cron"); got != "" {
		t.Errorf("a run that went well is told: %s", got)
	}
	for n := 2; n < 62; n++ {
		minute(n, 3)
	}
	const first = "cron.failed @ blog v1: the cron entry cron.1 of 'blog' failed: exit status 3"
	if got := w.told("cron"); got != first {
		t.Errorf("the events are\n%s", got)
	}
	w.happened(w.noted.bursts.ended(w.now(), false)...)
	if got := w.told("cron"); got != first {
		t.Errorf("before the hour is over the events are\n%s", got)
	}
	w.happened(w.noted.bursts.ended(w.now().Add(time.Minute), false)...)
	got := w.told("cron")
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "v1: 59 more times since 05:08:00 UTC, the last time: the cron entry cron.1 of 'blog' failed: exit status 3") {
		t.Errorf("the events are\n%s", got)
	}
	events, err := w.Store.Events(t.Context(), hop3.EventQuery{Kind: hop3.EventCronFailed})
	if err != nil || len(events) != 2 || events[0].Data["entry"] != "cron.1" || events[0].Data["exit"] != "3" || events[0].Data["run"] != "2" || events[1].Data["count"] != "59" {
		t.Errorf("%+v, %v", events, err)
	}
}

// What somebody ended did not fail; what took too long did.
func TestCron_WhatWasEndedIsNoEvent(t *testing.T) {
	w := newCronWorld(t, "cron: * * * * * x\n")
	w.deploysCron(hop3.CronEntry{Name: "slow", Schedule: "* * * * *", Command: "x", Timeout: time.Millisecond})
	w.turns("2026-03-04 05:07:00")
	w.begins("slow")
	if got, want := w.told("cron"), "cron.failed @ blog v2: the cron entry slow of 'blog' failed: timed out after 1ms"; got != want {
		t.Errorf("the events are %s", got)
	}
	w.deploysCron(hop3.CronEntry{Name: "long", Schedule: "* * * * *", Command: "x"})
	w.turns("2026-03-04 05:08:00")
	w.begins("long")
	if err := w.DestroyApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	if got := w.told("cron"); strings.Contains(got, "long") {
		t.Errorf("the events are %s", got)
	}
}

// TestCron_TheSchedulerRuns on the real clock, shifted to a minute's end.
func TestCron_TheSchedulerRuns(t *testing.T) {
	w := newCronWorld(t, "cron: 7 5 4 3 * x\n")
	shift := time.Until(time.Date(2026, 3, 4, 5, 6, 59, 950e6, time.UTC))
	w.clock = func() time.Time { return time.Now().Add(shift) }
	w.beginCron()
	w.begins("cron.1")[0].exit <- 0
}

func TestCron_TimeZones(t *testing.T) {
	w := newCronWorld(t, "cron: 30 6 * * * x\n")
	ctx := t.Context()
	if said := strings.Join(w.out.lines, "\n"); !strings.Contains(said, "       cron cron.1 (30 6 * * *): next 2026-03-04 06:30 UTC") {
		t.Errorf("the deploy says\n%s", said)
	}
	set := func(zone string) error {
		_, err := w.SetEnv(ctx, alice, "blog", hop3.Env{"TZ": zone}, nil, w.out)
		return err
	}
	if err := set("Mars/Olympus"); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "cron entries cron.1") {
		t.Errorf("a zone that does not exist: %v", err)
	}
	if err := set("Europe/Paris"); err != nil {
		t.Fatal(err)
	}
	w.turns("2026-03-04 05:30:00")
	w.begins("cron.1")[0].exit <- 0
	w.none()
	w.deploysCron(hop3.CronEntry{Name: "y", Schedule: "0 1 * * *", TimeZone: "America/New_York"})
	w.turns("2026-03-04 06:00:00")
	w.begins("y")[0].exit <- 0
	w.none()
	entries, err := w.CronEntries(ctx, alice, "blog")
	if err != nil || entries[0].Zone != "America/New_York" || entries[0].Next.Format("01-02 15:04") != "03-05 01:00" {
		t.Errorf("the entries are %+v, %v", entries, err)
	}

	req := w.request("one")
	req.Source, req.Env = cronSource{fakeSource{"one"}, "cron: @daily x\n"}, hop3.Env{"TZ": "nowhere"}
	if _, err := w.Deploy(ctx, alice, req); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a deploy into no zone: %v", err)
	}
}
