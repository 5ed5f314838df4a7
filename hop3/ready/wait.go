package ready

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

const (
	defaultTimeout = 60 * time.Second
	// maxRestarts is how often an instance may end before the gate gives up:
	// a first start may fail because something beside it starts slowly.
	maxRestarts = 3
	// observation is how long a release of which nothing answers HTTP must
	// run. Where something does, that takes long enough.
	observation = time.Second
	// Between two looks the gate waits a twentieth of what it has waited
	// already, so it adds a twentieth to an app's start at most.
	minPause, maxPause = 20 * time.Millisecond, 500 * time.Millisecond
	progressEvery      = 10 * time.Second
)

// Wait returns nil once all instances are ready: those with an upstream answer
// the check and own their address, the others run. It returns a CodeDeploy
// error that says what is wrong when one keeps ending, when the log of one that
// does not answer tells of a crash again and again, or when the time is up,
// after having sent the end of its log to r.Out. When ctx ends it returns its
// cause.
//
// Of the check, Timeout bounds each probe and Interval the pause between two;
// early on the gate asks more often. Retries is for later: as long as there is
// time, no number of failed probes is too many.
func (p *Prober) Wait(ctx context.Context, r hop3.Readiness) error {
	if r.Out == nil {
		r.Out = hop3.Discard
	}
	g := &gate{
		prober: p, Readiness: r,
		timeout: cmp.Or(r.Timeout, defaultTimeout),
		began:   time.Now(),
		seen:    make(map[string]int),
		signals: make(map[string]*signals),
	}
	g.told = g.began
	for {
		done, err := g.look(ctx)
		switch {
		case err != nil:
			return err
		case done:
			return nil
		case time.Since(g.began) > g.timeout:
			return g.timedOut()
		}
		g.report()
		select {
		case <-time.After(g.pause()):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Private

// gate is one Wait.
type gate struct {
	prober *Prober
	hop3.Readiness
	timeout time.Duration
	began   time.Time
	told    time.Time
	seen    map[string]int // instance -> restarts when first seen
	signals map[string]*signals
	waiting []waiting // at the last look
}

// waiting is an instance that is not ready, and why.
type waiting struct {
	hop3.Instance
	why error
}

// look looks at all instances once.
func (g *gate) look(ctx context.Context) (done bool, err error) {
	instances, err := g.Instances(ctx)
	if err != nil {
		return false, fmt.Errorf("asking for the instances: %w", err)
	}
	if len(instances) == 0 {
		return false, hop3.Errorf(hop3.CodeDeploy, "none of the app's processes runs")
	}
	for _, i := range instances {
		if g.crashes(i) {
			return false, g.crashed(i)
		}
	}
	why := g.probeAll(ctx, instances)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	var not []waiting
	for n, err := range why {
		if err == nil {
			continue
		}
		not = append(not, waiting{instances[n], err})
		if err := g.signalled(instances[n]); err != nil {
			return false, err
		}
	}
	// Probes cut short by the deadline say less than those before.
	if g.waiting == nil || len(not) == 0 || time.Since(g.began) < g.timeout {
		g.waiting = not
	}
	return len(not) == 0, nil
}

// probeAll asks all instances at once and returns, for each, why it is not
// ready.
func (g *gate) probeAll(ctx context.Context, instances []hop3.Instance) []error {
	ctx, cancel := context.WithDeadline(ctx, g.began.Add(g.timeout))
	defer cancel()
	web := false
	for _, i := range instances {
		web = web || i.Upstream != ""
	}
	why := make([]error, len(instances))
	var probes sync.WaitGroup
	for n, i := range instances {
		switch {
		case i.State != hop3.InstanceRunning:
			why[n] = errors.New("it ended" + lastExit(i))
		case i.Upstream != "":
			probes.Go(func() {
				defer func() {
					if v := recover(); v != nil {
						why[n] = fmt.Errorf("probing it: %v", v)
					}
				}()
				why[n] = g.probe(ctx, i)
			})
		case !web && time.Since(i.StartedAt) < observation:
			why[n] = errors.New("it has just started")
		}
	}
	probes.Wait()
	return why
}

func (g *gate) probe(ctx context.Context, i hop3.Instance) error {
	if err := g.prober.Probe(ctx, i.Upstream, g.Host, g.Health); err != nil {
		return err
	}
	if i.Container != "" {
		return engineOwns(i.Upstream)
	}
	return g.prober.Owner(i.Upstream, i.PID)
}

// crashes reports whether an instance has ended so often that it will not
// become ready.
func (g *gate) crashes(i hop3.Instance) bool {
	first, ok := g.seen[name(i)]
	if !ok {
		first = i.Restarts
		g.seen[name(i)] = first
		g.signals[name(i)] = watchSignals(i.LogFile)
	}
	return i.Restarts-first >= maxRestarts || i.State == hop3.InstanceStopped
}

func (g *gate) pause() time.Duration {
	longest := cmp.Or(g.Health.Interval, maxPause)
	left := time.Until(g.began.Add(g.timeout))
	return max(min(time.Since(g.began)/20, longest, left), minPause)
}

// report tells who waits what is waited for, from time to time.
func (g *gate) report() {
	if time.Since(g.told) < progressEvery {
		return
	}
	g.told = time.Now()
	for _, w := range g.waiting {
		g.say(1, "", "       Waiting for %s (%s): %v", name(w.Instance), time.Since(g.began).Round(time.Second), w.why)
		if d := diagnose(w.Instance); d != "" {
			g.say(1, "yellow", "       %s", d)
		}
	}
}

func (g *gate) crashed(i hop3.Instance) error {
	g.sendLog(i)
	if err := ranOut(i); err != nil {
		return err
	}
	return hop3.Errorf(hop3.CodeDeploy, "%s does not stay up: it ended %d times%s", name(i), max(i.Restarts-g.seen[name(i)], 1), lastExit(i)).
		WithHint("Its log says more: %s", i.LogFile)
}

func (g *gate) timedOut() error {
	w := g.waiting[0]
	g.sendLog(w.Instance)
	if w.State != hop3.InstanceRunning {
		if err := ranOut(w.Instance); err != nil {
			return err
		}
	}
	err := hop3.Errorf(hop3.CodeDeploy, "%s was not ready within %s: %w", name(w.Instance), g.timeout, w.why)
	if d := diagnose(w.Instance); d != "" {
		return err.WithHint("%s", d)
	}
	return err.WithHint("If the app needs longer to start, set start-timeout in the [run] section of hop3.toml.")
}

// sendLog sends the last lines of an instance's log.
func (g *gate) sendLog(i hop3.Instance) {
	lines := tail(i)
	if len(lines) == 0 {
		g.say(0, "", "       %s wrote nothing to its log", name(i))
		return
	}
	g.say(0, "", "       The last lines of %s:", i.LogFile)
	for _, l := range lines {
		g.say(0, "", "       | %s", l)
	}
}

func (g *gate) say(level int, color, format string, args ...any) {
	g.Out.Log(hop3.LogLine{Text: fmt.Sprintf(format, args...), Level: level, Color: color, Time: time.Now()})
}

func name(i hop3.Instance) string { return fmt.Sprintf("%s.%d", i.Type, i.Ordinal) }

func lastExit(i hop3.Instance) string {
	if i.LastExit == "" {
		return ""
	}
	return ", the last time with " + i.LastExit
}
