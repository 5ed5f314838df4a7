package platform

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// trial is a release that serves a part of the requests beside the live one.
// It is a phase of a deploy, between being ready and being committed: whatever
// ends the deploy, the server's own end too, ends it, and the release with it.
type trial struct {
	route  *hop3.CanaryRoute
	canary hop3.Canary
	began  time.Time
	decide chan error // nil: to serve all; else why not
}

// canaryEvery is how often a canary is looked at.
const canaryEvery = 200 * time.Millisecond

// canaryLeast is how many requests must have been answered before a canary is
// given up for how they fared.
const canaryLeast = 20

// CanaryStatus is how a release fares that is tried out.
type CanaryStatus struct {
	Live    int // the release beside it
	Release int
	Canary  hop3.Canary
	Since   time.Duration
	Verdict hop3.Verdict
}

// Canary returns how the release of the app fares that is tried out, or a
// CodeNotFound error when none is.
func (p *Platform) Canary(ctx context.Context, who Actor, name string) (CanaryStatus, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return CanaryStatus{}, err
	}
	t := p.running.trialOf(name)
	judge, ok := p.Proxy.(hop3.Judge)
	if t == nil || !ok {
		return CanaryStatus{}, noCanary(name)
	}
	return CanaryStatus{Live: app.Live, Release: t.route.Release, Canary: t.canary, Since: time.Since(t.began),
		Verdict: judge.Verdict(hop3.ReleaseID{App: name, Number: t.route.Release})}, nil
}

// DecideCanary ends a canary before its time: its release serves all, or is
// taken back.
func (p *Platform) DecideCanary(ctx context.Context, who Actor, name string, promote bool) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	t := p.running.trialOf(name)
	if t == nil {
		return noCanary(name)
	}
	var why error
	if !promote {
		why = hop3.Errorf(hop3.CodeCanceled, "%s took the canary back", who.Username)
	}
	select {
	case t.decide <- why:
		p.happened(event(ctx, hop3.EventCanaryEnded, name, "the canary v%d was %s", t.route.Release, map[bool]string{true: "promoted", false: "aborted"}[promote]))
	default: // it has been decided already
	}
	return nil
}

func noCanary(app string) error {
	return hop3.Errorf(hop3.CodeNotFound, "No release of '%s' is being tried out.", app)
}

// defaultCanary is the canary of a flag that says no more, for an app that has
// none in its settings.
const defaultCanary = "10% for 5m"

// CanaryFlag reads what is behind a flag that has one release tried out:
// nothing, for the canary of the app's settings or else 10 percent for five
// minutes, or one as in [http.canary].
func CanaryFlag(text string) (*hop3.Canary, error) {
	if text == "" {
		return &hop3.Canary{}, nil
	}
	return hop3.ParseCanary(text)
}

// tryOnce gives a release, not stored yet, the canary of a flag. That is not
// kept in its settings: the releases that follow are as those say.
func tryOnce(r *hop3.Release, c *hop3.Canary) error {
	switch {
	case c == nil || c.Percent == 0 && r.HTTP != nil && r.HTTP.Canary != nil:
		return nil
	case c.Percent == 0:
		var err error
		if c, err = hop3.ParseCanary(defaultCanary); err != nil {
			return err
		}
	}
	policy := hop3.HTTPPolicy{}
	if r.HTTP != nil {
		policy = *r.HTTP
	}
	policy.Canary = c
	r.HTTP = &policy
	return nil
}

// triesOut reports whether a release is tried out before it serves all: when
// its policy says so, it is new, and there is one that serves meanwhile.
func (p *Platform) triesOut(app hop3.App, old, r hop3.Release, instances []hop3.Instance, out hop3.Output) bool {
	if r.HTTP == nil || r.HTTP.Canary == nil || r.Build != r.Number {
		return false
	}
	if _, ok := p.Proxy.(hop3.Judge); !ok {
		tell(out, 1, "yellow", "       Warning: no canary behind this proxy: the release serves all at once")
		return false
	}
	return app.Awake() && old.Number != 0 && p.running.is(old) && len(upstreamsOf(instances)) > 0
}

// tryOut lets a ready release serve a part of the requests until its time is
// up, and returns nil when it did well.
func (p *Platform) tryOut(ctx context.Context, old, r hop3.Release, instances []hop3.Instance, out hop3.Output) error {
	c := *r.HTTP.Canary
	t := &trial{canary: c, began: time.Now(), decide: make(chan error, 1), route: &hop3.CanaryRoute{
		Release: r.Number, Upstreams: upstreamsOf(instances), Names: namesOf(instances), Static: p.staticPaths(r), Policy: p.policy(r), Dir: p.releaseDir(r.App, r.Build), Percent: c.Percent}}
	p.running.canaries.Store(r.App, t)
	if err := p.reroute(ctx, old); err != nil {
		return err
	}
	say(out, "-----> Trying v%d out with %d%% of the requests for %s", r.Number, c.Percent, c.For)
	tick := time.NewTicker(canaryEvery)
	defer tick.Stop()
	end := time.NewTimer(c.For)
	defer end.Stop()
	judge := p.Proxy.(hop3.Judge)
	for {
		over := false
		select {
		case <-ctx.Done():
			return canceled(ctx)
		case why := <-t.decide:
			return why
		case <-end.C:
			over = true
		case <-tick.C:
		}
		v := judge.Verdict(r.ID())
		if v.Requests < canaryLeast && !over {
			continue
		}
		if err := judged(r, c, v); err != nil {
			return err
		}
		if over {
			say(out, "       v%d did well: %s", r.Number, figures(v))
			return nil
		}
	}
}

// judged returns why a canary is taken back, nil when it did well so far.
func judged(r hop3.Release, c hop3.Canary, v hop3.Verdict) error {
	switch {
	case v.ErrorRate() > c.MaxErrors:
		return hop3.Errorf(hop3.CodeDeploy, "the canary v%d was taken back: %s; at most %g%% may be errors", r.Number, figures(v), c.MaxErrors)
	case c.MaxP99 > 0 && v.P99 > c.MaxP99:
		return hop3.Errorf(hop3.CodeDeploy, "the canary v%d was taken back: %s; 99 of 100 answers must begin within %s", r.Number, figures(v), c.MaxP99)
	}
	return nil
}

func figures(v hop3.Verdict) string {
	if v.Requests == 0 {
		return "nobody asked it anything"
	}
	return fmt.Sprintf("%.3g%% errors of %d requests, p99 %s", v.ErrorRate(), v.Requests, v.P99.Round(100*time.Microsecond))
}

// drainCanary waits for the requests under way to a canary that is taken back.
func (p *Platform) drainCanary(r hop3.Release) {
	ctx, cancel := context.WithTimeout(context.Background(), p.Settings.DrainTimeout)
	defer cancel()
	if err := p.Proxy.Drain(ctx, r.ID()); err != nil {
		p.Logger.Warn("draining a canary", zap.String("app", r.App), zap.Int("release", r.Number), zap.Error(err))
	}
}

// endCanary takes a canary's requests away from it once its deploy has been
// decided. What runs of the app is locked by the caller.
func (p *Platform) endCanary(old hop3.Release) {
	p.running.canaries.Delete(old.App)
	if !p.running.is(old) {
		return // the new one serves, by a route of its own
	}
	if err := p.reroute(context.Background(), old); err != nil {
		p.Logger.Error("ending a canary", zap.String("app", old.App), zap.Error(err))
	}
}

func (s *running) trialOf(app string) *trial {
	t, _ := s.canaries.Load(app)
	found, _ := t.(*trial)
	return found
}

func (s *running) canaryOf(app string) *hop3.CanaryRoute {
	if t := s.trialOf(app); t != nil {
		return t.route
	}
	return nil
}
