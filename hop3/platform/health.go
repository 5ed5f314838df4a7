package platform

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Only an app that names a path in [healthcheck] is asked whether it is well:
// a question nobody asked for would fill logs and wake databases. For the
// others it is enough that their processes run.
const (
	defaultInterval = 10 * time.Second
	minInterval     = time.Second
	defaultRetries  = 3
	maxProbes       = 16               // at once, of all apps
	healthWhy       = "health check: " // begins why a sick instance is restarted
)

// health is what is known of the health of one release's instances.
type health struct {
	next   time.Time // of the next round
	under  bool      // a round is under way
	checks map[string]*check
}

// check is what is known of one instance.
type check struct {
	failures int       // in a row
	passed   time.Time // StartedAt of the last run that passed
	why      string    // of the last failure that counted
	out      bool      // it gets no requests, if others do
	restarts bool      // it is being ended
}

func (h *health) of(i hop3.Instance) *check {
	if h.checks == nil {
		h.checks = map[string]*check{}
	}
	c := h.checks[instanceName(i)]
	if c == nil {
		c = &check{}
		h.checks[instanceName(i)] = c
	}
	return c
}

func (h *health) isOut(i hop3.Instance) bool {
	c := h.checks[instanceName(i)]
	return c != nil && c.out
}

// reasons returns why instances are out of rotation.
func (h *health) reasons() map[string]string {
	if len(h.checks) == 0 {
		return nil
	}
	out := map[string]string{}
	for name, c := range h.checks {
		if c.out {
			out[name] = c.why
		}
	}
	return out
}

// due reports whether a round is to be made now, and says that it is.
func (h *health) due(r hop3.Release, now time.Time) bool {
	if r.Health.Path == "" || h.under || now.Before(h.next) {
		return false
	}
	wait := interval(r)
	for _, c := range h.checks {
		if c.out {
			wait = minInterval // it should not wait for long once it is well
		}
	}
	h.under, h.next = true, now.Add(wait)
	return true
}

func interval(r hop3.Release) time.Duration {
	return max(cmp.Or(r.Health.Interval, defaultInterval), minInterval)
}

// jitter spreads the first checks of many apps over their interval.
func jitter(d time.Duration) time.Duration { return rand.N(d) }

// checkHealth asks every instance of a release once whether it is well.
func (p *Platform) checkHealth(ctx context.Context, r hop3.Release) {
	defer p.running.checked(r)
	instances, err := p.Runtime.Instances(ctx, r.ID())
	if err != nil {
		p.Logger.Warn("asking for the instances to check", zap.String("app", r.App), zap.Error(err))
		return
	}
	host, slots := checkHost(r), p.running.slots()
	var probes sync.WaitGroup
	for _, i := range instances {
		if i.Upstream == "" || i.State != hop3.InstanceRunning {
			continue // the runtime starts it again
		}
		probes.Go(func() {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				return
			}
			p.guard("checking "+instanceName(i), func() {
				err := p.Prober.Probe(ctx, i.Upstream, host, r.Health)
				if ctx.Err() == nil {
					p.judge(ctx, r, i, err)
				}
			})
		})
	}
	probes.Wait()
}

// judge does what the outcome of a check asks for.
func (p *Platform) judge(ctx context.Context, r hop3.Release, i hop3.Instance, err error) {
	sick, well := p.running.note(r, i, err, p.startTimeout(r), p.now())
	switch {
	case sick:
		p.eject(ctx, r, i, healthWhy+err.Error())
	case well:
		p.readmit(ctx, r, i)
	}
}

// note counts the outcome of a check. sick says that the instance has failed
// too often, well that it passed and is out of rotation. An instance that has
// not passed since it was started has its start timeout to do so.
func (s *running) note(r hop3.Release, i hop3.Instance, err error, start time.Duration, now time.Time) (sick, well bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.live(r)
	if !ok {
		return false, false
	}
	c := a.health.of(i)
	switch {
	case c.restarts:
		return false, false
	case err == nil:
		c.failures, c.passed = 0, i.StartedAt
		return false, c.out
	case !c.passed.Equal(i.StartedAt) && now.Sub(i.StartedAt) < start:
		return false, false
	}
	c.failures++
	return c.failures >= cmp.Or(r.Health.Retries, defaultRetries), false
}

// eject takes an instance out of rotation and restarts it. When the app is
// being changed it waits for the next failed check.
func (p *Platform) eject(ctx context.Context, r hop3.Release, i hop3.Instance, why string) {
	unlock, ok := p.tryLockRunning(r.App)
	if !ok {
		return
	}
	defer unlock()
	if !p.running.mark(r, i, func(c *check) { c.out, c.restarts, c.why = true, true, why }) {
		return
	}
	p.noteBurst(releaseEvent(ctx, hop3.EventHealthFailed, r, "%s of '%s' is restarted: %s", instanceName(i), r.App, why), r.App)
	p.Logger.Warn("an instance is sick", zap.String("app", r.App), zap.Int("release", r.Number),
		zap.String("instance", instanceName(i)), zap.String("why", why))
	if err := p.reroute(ctx, r); err != nil {
		p.Logger.Error("taking an instance out of rotation", zap.String("app", r.App), zap.Error(err))
	}
	// A process that hangs takes its grace to end: nobody waits for that.
	restart := func(ctx context.Context) {
		defer p.running.mark(r, i, func(c *check) { c.restarts, c.failures = false, 0 })
		if err := p.Runtime.Restart(ctx, r.ID(), i.Type, i.Ordinal, why, p.Settings.StopGrace); err != nil {
			p.Logger.Error("restarting a sick instance", zap.String("app", r.App), zap.String("instance", instanceName(i)), zap.Error(err))
		}
	}
	if !p.Go("restart", restart) {
		p.running.mark(r, i, func(c *check) { c.restarts = false })
	}
}

// readmit gives an instance requests again.
func (p *Platform) readmit(ctx context.Context, r hop3.Release, i hop3.Instance) {
	unlock, ok := p.tryLockRunning(r.App)
	if !ok {
		return
	}
	defer unlock()
	if !p.running.mark(r, i, func(c *check) { c.out, c.why = false, "" }) {
		return
	}
	p.noteBurst(releaseEvent(ctx, hop3.EventHealthRecovered, r, "%s of '%s' is well again", instanceName(i), r.App), r.App)
	p.Logger.Info("an instance is well again", zap.String("app", r.App), zap.String("instance", instanceName(i)))
	if err := p.reroute(ctx, r); err != nil {
		p.Logger.Error("putting an instance back into rotation", zap.String("app", r.App), zap.Error(err))
	}
}

// mark changes what is known of an instance, if its release still runs.
func (s *running) mark(r hop3.Release, i hop3.Instance, change func(*check)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.live(r)
	if ok {
		change(a.health.of(i))
	}
	return ok
}

// checked says that a round has ended.
func (s *running) checked(r hop3.Release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.live(r); ok {
		a.health.under = false
	}
}

func (s *running) slots() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probes == nil {
		s.probes = make(chan struct{}, maxProbes)
	}
	return s.probes
}

// startTimeout is how long the instances of a release may take to be ready.
func (p *Platform) startTimeout(r hop3.Release) time.Duration {
	return cmp.Or(r.StartTimeout, p.Settings.StartTimeout)
}
