package platform

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// running is what runs now, as far as it was this server that made it so: a
// projection of the database that the loops of Begin work on. Nothing of it
// needs to survive.
type running struct {
	// locks serialise, for each app, the changes of what runs: switches,
	// stops, restarts of sick instances, steps of the scale, sleep and wake.
	// A change of the app holds its own lock first (see Platform.lock), and
	// this one only while it switches: a long build keeps nobody asleep.
	locks locks

	mu       sync.Mutex
	apps     map[string]*awake
	draining map[hop3.ReleaseID]int // releases that stop once their requests are done
	drained  chan struct{}          // closed when one of them has; nil while nobody waits
	troubles map[string]string      // of apps that are asleep: why the last wake failed
	probes   chan struct{}          // holds a value for each health check under way

	canaries sync.Map // app -> *trial, of releases that are tried out

	closed sync.Map // app -> *hop3.Maintenance, of those closed to visitors
}

// awake is an app whose release runs and is routed to.
type awake struct {
	release hop3.Release
	// scaled is the number of instances, of the type that follows the load,
	// that take requests; 0 where the number is the process's Count.
	scaled int
	health health
	window window
	idle   idle
	// steps says that a step of the scale, or a nap, is under way.
	steps bool
}

// lockRunning waits until nothing else changes what runs of an app.
func (p *Platform) lockRunning(ctx context.Context, app string) (unlock func(), err error) {
	return p.running.locks.acquire(ctx, app, false, nil)
}

// tryLockRunning is lockRunning for who can as well come back later.
func (p *Platform) tryLockRunning(app string) (unlock func(), ok bool) {
	return p.running.locks.try(app)
}

// try takes the lock of an app if it is free.
func (l *locks) try(app string) (unlock func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.apps[app] != nil { // held, or waited for
		return nil, false
	}
	if l.apps == nil {
		l.apps = map[string]*appLock{}
	}
	a := &appLock{slot: make(chan struct{}, 1), users: 1}
	a.slot <- struct{}{}
	l.apps[app] = a
	return l.releaser(app, a), true
}

// serve routes an app's requests to the instances of its live release, and
// looks after them from now on. tested says that they have just been found
// ready. The app is locked by lockRunning, or nothing else is under way yet.
func (p *Platform) serve(ctx context.Context, r hop3.Release, instances []hop3.Instance, tested bool) error {
	a := p.running.put(r, instances, tested, p.now())
	p.running.mu.Lock()
	route := p.route(r, a.inRotation(instances))
	p.running.mu.Unlock()
	return p.Proxy.Set(ctx, route)
}

// rest routes an app's requests to a page, or holds them: its release does not
// run, or is about to end.
func (p *Platform) rest(ctx context.Context, r hop3.Release, status string) error {
	p.running.forget(r.App)
	return p.Proxy.Set(ctx, p.stoppedRoute(r, status))
}

// reroute brings the route of the live release up to date with its instances.
func (p *Platform) reroute(ctx context.Context, r hop3.Release) error {
	instances, err := p.Runtime.Instances(ctx, r.ID())
	if err != nil {
		return err
	}
	p.running.mu.Lock()
	a := p.running.apps[r.App]
	if a == nil || a.release.Number != r.Number {
		p.running.mu.Unlock()
		return nil
	}
	route := p.route(r, a.inRotation(instances))
	p.running.mu.Unlock()
	return p.Proxy.Set(ctx, route)
}

// put remembers that a release runs. Of the same release, what was known stays.
func (s *running) put(r hop3.Release, instances []hop3.Instance, tested bool, now time.Time) *awake {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[r.App]
	if a == nil || a.release.Number != r.Number {
		a = &awake{health: health{next: now.Add(jitter(interval(r)))}}
		if s.apps == nil {
			s.apps = map[string]*awake{}
		}
		s.apps[r.App] = a
		if proc, _, ok := follows(r); ok {
			a.scaled = ofType(instances, proc.Type)
		}
	}
	a.release, a.idle = r, idle{since: now}
	if tested {
		for _, i := range instances {
			a.health.of(i).passed = i.StartedAt
		}
	}
	delete(s.troubles, r.App)
	return a
}

// live returns what is known of an app if this release of it runs.
func (s *running) live(r hop3.Release) (*awake, bool) {
	a := s.apps[r.App]
	return a, a != nil && a.release.Number == r.Number
}

// is reports whether this release of an app runs.
func (s *running) is(r hop3.Release) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.live(r)
	return ok
}

// known returns the release of an app that runs.
func (s *running) known(app string) (hop3.Release, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[app]
	if a == nil {
		return hop3.Release{}, false
	}
	return a.release, true
}

func (s *running) forget(app string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, app)
	delete(s.troubles, app)
}

// trouble remembers why an app could not be woken.
func (s *running) trouble(app, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.troubles == nil {
		s.troubles = map[string]string{}
	}
	s.troubles[app] = why
}

// drains counts a release among those that are draining until done is called.
func (s *running) drains(id hop3.ReleaseID) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining == nil {
		s.draining = map[hop3.ReleaseID]int{}
	}
	s.draining[id]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.draining[id]--; s.draining[id] == 0 {
			delete(s.draining, id)
			if s.drained != nil {
				close(s.drained)
				s.drained = nil
			}
		}
	})
}

// awaitDrains waits until no release of an app is draining.
func (s *running) awaitDrains(ctx context.Context, app string) error {
	for {
		s.mu.Lock()
		busy := false
		for id := range s.draining {
			busy = busy || id.App == app
		}
		if s.drained == nil {
			s.drained = make(chan struct{})
		}
		ended := s.drained
		s.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *running) isDraining(id hop3.ReleaseID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining[id] > 0
}

// inRotation returns the instances that take requests: not those that are
// sick, unless all are, nor those beyond the scale.
func (a *awake) inRotation(instances []hop3.Instance) []hop3.Instance {
	proc, _, _ := follows(a.release)
	all := slices.DeleteFunc(slices.Clone(instances), func(i hop3.Instance) bool {
		return i.Upstream == "" || a.scaled > 0 && i.Type == proc.Type && i.Ordinal > a.scaled
	})
	well := slices.DeleteFunc(slices.Clone(all), func(i hop3.Instance) bool { return a.health.isOut(i) })
	if len(well) == 0 {
		return all
	}
	return well
}

// tendEvery is how often the loops look at the apps that run.
const tendEvery = 500 * time.Millisecond

// tendAll looks after what runs until ctx ends: health, scale, sleep.
func (p *Platform) tendAll(ctx context.Context) {
	every(ctx, tendEvery, func() { p.guard("tending the apps", func() { p.tend(p.now()) }) })
}

// every calls f at intervals until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// tend looks at each app that runs once and starts what is due. An app that
// has nothing due costs a few comparisons.
func (p *Platform) tend(now time.Time) {
	var due []func()
	p.running.mu.Lock()
	for _, a := range p.running.apps {
		if a.health.due(a.release, now) {
			due = append(due, p.healthRound(a.release))
		}
		if step := p.stepDue(a, now); step != nil {
			a.steps = true
			due = append(due, step)
		}
	}
	p.running.mu.Unlock()
	for _, start := range due {
		start()
	}
}

func (p *Platform) healthRound(r hop3.Release) func() {
	return func() { p.Go("health", func(ctx context.Context) { p.checkHealth(ctx, r) }) }
}

// stepDue samples the load of an app and returns what starts the step to take,
// nil for none.
func (p *Platform) stepDue(a *awake, now time.Time) func() {
	meter, ok := p.Proxy.(hop3.Meter)
	if !ok {
		return nil
	}
	_, scaling, scales := follows(a.release)
	after := sleepAfter(a.release)
	if !scales && after == 0 {
		return nil
	}
	load := meter.Load(a.release.App)
	want := a.scaled
	if scales && a.window.add(now, load.InFlight) {
		want = a.window.wants(a.scaled, scaling, now)
	}
	slept := after > 0 && a.idle.longer(after, load, now)
	if a.steps || !slept && want == a.scaled {
		return nil
	}
	return p.step(a.release, slept, want-a.scaled, want)
}

// step puts a release to sleep, or brings it to another number of instances.
func (p *Platform) step(r hop3.Release, sleep bool, more, want int) func() {
	do := p.scaleDown
	switch {
	case sleep:
		do = func(ctx context.Context, r hop3.Release, _ int) { p.sleep(ctx, r) }
	case more > 0:
		do = p.scaleUp
	}
	return func() {
		p.Go("scale", func(ctx context.Context) {
			defer p.running.stepped(r)
			do(ctx, r, want)
		})
	}
}

func (s *running) stepped(r hop3.Release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.live(r); ok {
		a.steps = false
	}
}

// guard runs f and logs a panic instead of letting it end what goes on in the
// background.
func (p *Platform) guard(what string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			p.Logger.Error("panic while "+what, zap.Any("panic", v), zap.Stack("stack"))
		}
	}()
	f()
}

// now is the time; tests replace it.
func (p *Platform) now() time.Time {
	if p.clock != nil {
		return p.clock()
	}
	return time.Now()
}

func ofType(instances []hop3.Instance, processType string) (n int) {
	for _, i := range instances {
		if i.Type == processType {
			n++
		}
	}
	return n
}

func instanceName(i hop3.Instance) string { return i.Type + "." + strconv.Itoa(i.Ordinal) }

// snapshot returns what is known of the troubles of an app's instances.
func (s *running) snapshot(app string) (out map[string]string, trouble string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apps[app]; a != nil {
		out = a.health.reasons()
	}
	return out, s.troubles[app]
}
