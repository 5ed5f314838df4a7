package platform

import (
	"cmp"
	"context"
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// The number of instances follows the requests under way: up as soon as the
// mean of the last ten seconds asks for more, down by one when that of the
// last minute would do with less.
const (
	defaultConcurrency = 10 // requests under way that one instance should have
	sampleEvery        = time.Second
	upSamples          = 10
	downSamples        = 60
	downPause          = 15 * time.Second // between two steps down
	failedPause        = time.Minute      // after instances that did not become ready
)

// window is the load of the last minute.
type window struct {
	samples [downSamples]int // a ring
	taken   int              // since the last step up
	next    time.Time        // of the next sample
	not     time.Time        // no step before
}

// add takes a sample when one is due, and reports whether it did.
func (w *window) add(now time.Time, inFlight int) bool {
	if now.Before(w.next) {
		return false
	}
	w.next = now.Add(sampleEvery)
	copy(w.samples[1:], w.samples[:]) // the newest is the first
	w.samples[0] = inFlight
	w.taken++
	return true
}

// wants returns the number of instances there should be in place of current.
func (w *window) wants(current int, s hop3.Scaling, now time.Time) int {
	if now.Before(w.not) {
		return min(max(current, s.Min, 1), s.Max)
	}
	return decide(current, s, mean(w.samples[:upSamples]), mean(w.samples[:]), w.taken >= downSamples)
}

// stepped says that the number of instances has changed.
func (w *window) stepped(up bool, now time.Time) {
	w.not = now.Add(downPause)
	if up {
		w.taken, w.not = 0, now.Add(sampleEvery)
	}
}

// decide returns the number of instances for a load: lately and overall are
// the means of the requests under way over the short and the long time. It
// goes up to what the recent load needs in one step, and down by one, once the
// long time has passed since the last step up and both means ask for it.
func decide(current int, s hop3.Scaling, lately, overall float64, settled bool) int {
	target := float64(cmp.Or(s.TargetConcurrency, defaultConcurrency))
	needs := func(load float64) int { return int(math.Ceil(load / target)) }
	want := current
	switch {
	case needs(lately) > current:
		want = needs(lately)
	case settled && max(needs(lately), needs(overall)) < current:
		want = current - 1
	}
	return min(max(want, s.Min, 1), s.Max)
}

func mean(samples []int) float64 {
	sum := 0
	for _, n := range samples {
		sum += n
	}
	return float64(sum) / float64(len(samples))
}

// follows returns the process of a release whose number of instances follows
// the load, with how.
func follows(r hop3.Release) (proc hop3.Process, s hop3.Scaling, ok bool) {
	for _, proc := range r.Processes {
		if s := scalingOf(r, proc); s.Max > 0 {
			return proc, s, true
		}
	}
	return hop3.Process{}, hop3.Scaling{}, false
}

// scalingOf is how a process follows the load. The one that serves HTTP does as
// "web" says, whatever its type; the others do not.
func scalingOf(r hop3.Release, proc hop3.Process) hop3.Scaling {
	if !hop3.ServesHTTP(proc.Type) {
		return hop3.Scaling{}
	}
	return r.Scaling[hop3.ProcessWeb]
}

// count is how many instances of a process are started: its Count, or what
// the load asks for now.
func (p *Platform) count(r hop3.Release, proc hop3.Process) int {
	scaled, s, ok := follows(r)
	if !ok || scaled.Type != proc.Type {
		return proc.Count
	}
	n := proc.Count
	p.running.mu.Lock()
	if a := p.running.apps[r.App]; a != nil && a.scaled > 0 {
		n = a.scaled // also of the release before: the load is the same
	}
	p.running.mu.Unlock()
	return min(max(n, s.Min, 1), s.Max)
}

// counts returns how many instances of each type a launch has.
func counts(l hop3.Launch) map[string]int {
	n := make(map[string]int, len(l.Processes))
	for _, proc := range l.Processes {
		n[proc.Type] = proc.Count
	}
	return n
}

// withCount returns the launch with another number of instances of a type.
func withCount(l hop3.Launch, processType string, n int) hop3.Launch {
	processes := make([]hop3.Process, 0, len(l.Processes))
	for _, proc := range l.Processes {
		if proc.Type == processType {
			proc.Count = n
		}
		processes = append(processes, proc)
	}
	l.Processes = processes
	return l
}

// scaleUp starts instances beside those that run, which get requests once they
// are ready. A deploy meanwhile ends it.
func (p *Platform) scaleUp(ctx context.Context, r hop3.Release, n int) {
	proc, _, _ := follows(r)
	had, err := p.startMore(ctx, r, proc.Type, n)
	if err == nil && had < n {
		err = p.waitReady(ctx, r, hop3.Discard, func(i hop3.Instance) bool { return i.Type == proc.Type && i.Ordinal > had })
	}
	if ctx.Err() != nil || had == 0 {
		return
	}
	unlock, lockErr := p.lockRunning(ctx, r.App)
	if lockErr != nil {
		return
	}
	defer unlock()
	if !p.running.is(r) {
		return
	}
	if err != nil {
		p.Logger.Warn("more instances did not become ready", zap.String("app", r.App), zap.Int("wanted", n), zap.Error(err))
		p.running.scaledTo(r, had, func(w *window) { w.not = p.now().Add(failedPause) })
		p.trim(ctx, r)
		return
	}
	p.running.scaledTo(r, n, func(w *window) { w.stepped(true, p.now()) })
	p.Logger.Info("scaled up", zap.String("app", r.App), zap.String("type", proc.Type), zap.Int("from", had), zap.Int("to", n))
	if err := p.reroute(ctx, r); err != nil {
		p.Logger.Error("routing to more instances", zap.String("app", r.App), zap.Error(err))
	}
}

// startMore starts what is missing of n instances and returns how many there
// were, 0 when the app is being changed or its release does not run any more.
func (p *Platform) startMore(ctx context.Context, r hop3.Release, processType string, n int) (had int, err error) {
	unlock, ok := p.tryLockRunning(r.App)
	if !ok {
		return 0, nil
	}
	defer unlock()
	p.running.mu.Lock()
	a, ok := p.running.live(r)
	if ok {
		had = a.scaled
	}
	p.running.mu.Unlock()
	if !ok {
		return 0, nil
	}
	_, err = p.Runtime.Start(ctx, withCount(p.launch(r), processType, n))
	return had, err
}

// scaleDown takes the last instances out of rotation, lets their requests end
// and stops them.
func (p *Platform) scaleDown(ctx context.Context, r hop3.Release, n int) {
	meter, ok := p.Proxy.(hop3.Meter)
	if !ok || !p.routeToFewer(ctx, r, n) {
		return
	}
	drain, cancel := context.WithTimeout(ctx, p.Settings.DrainTimeout)
	defer cancel()
	if err := meter.DrainEarlier(drain, r.ID()); err != nil && ctx.Err() == nil {
		p.Logger.Info("ending instances with requests under way", zap.String("app", r.App), zap.Error(err))
	}
	unlock, err := p.lockRunning(ctx, r.App)
	if err != nil {
		return // the next start trims
	}
	defer unlock()
	if p.running.is(r) {
		p.trim(ctx, r)
	}
}

func (p *Platform) routeToFewer(ctx context.Context, r hop3.Release, n int) bool {
	unlock, ok := p.tryLockRunning(r.App)
	if !ok {
		return false
	}
	defer unlock()
	if !p.running.scaledTo(r, n, func(w *window) { w.stepped(false, p.now()) }) {
		return false
	}
	p.Logger.Info("scaled down", zap.String("app", r.App), zap.Int("to", n))
	if err := p.reroute(ctx, r); err != nil {
		p.Logger.Error("routing to fewer instances", zap.String("app", r.App), zap.Error(err))
		return false
	}
	return true
}

// trim stops the instances beyond the scale. The app is locked by lockRunning.
func (p *Platform) trim(ctx context.Context, r hop3.Release) {
	if err := p.Runtime.Trim(ctx, r.ID(), counts(p.launch(r)), p.Settings.StopGrace); err != nil {
		p.Logger.Error("stopping instances", zap.String("app", r.App), zap.Error(err))
	}
}

// scaledTo remembers how many instances take requests.
func (s *running) scaledTo(r hop3.Release, n int, step func(*window)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.live(r)
	if ok {
		a.scaled = n
		step(&a.window)
	}
	return ok
}
