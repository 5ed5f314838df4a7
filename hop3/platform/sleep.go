package platform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// idle is since when an app has had no request.
type idle struct {
	since    time.Time
	requests uint64 // hop3.Load.Requests when last looked at
}

// longer reports whether there was no request, and none under way, for as long
// as after.
func (i *idle) longer(after time.Duration, load hop3.Load, now time.Time) bool {
	if load.InFlight > 0 || load.Draining > 0 || load.Requests != i.requests {
		i.since, i.requests = now, load.Requests
		return false
	}
	return now.Sub(i.since) >= after
}

// sleepAfter is after how long without a request a release is put to sleep, 0
// for never. Only what has a process that answers requests can sleep: nothing
// else tells when it is wanted.
func sleepAfter(r hop3.Release) time.Duration {
	for _, proc := range r.Processes {
		if s := scalingOf(r, proc); s.SleepAfter > 0 && proc.Count > 0 {
			return s.SleepAfter
		}
	}
	return 0
}

var errNotNow = errors.New("the app was changed meanwhile")

// sleep stops all instances of an idle app, its workers too, until the next
// request. The database says so first: a server that ends in between finds an
// app that is asleep, and stops what is left of it. When the app is being
// changed, or a request comes in the last moment, nothing happens.
func (p *Platform) sleep(ctx context.Context, r hop3.Release) {
	unlock, ok := p.tryLockRunning(r.App)
	if !ok {
		return
	}
	defer unlock()
	if err := p.sleepLocked(ctx, r); err != nil && !errors.Is(err, errNotNow) {
		p.Logger.Error("putting an app to sleep", zap.String("app", r.App), zap.Error(err))
	}
}

func (p *Platform) sleepLocked(ctx context.Context, r hop3.Release) error {
	meter, ok := p.Proxy.(hop3.Meter)
	if !ok || !p.running.is(r) {
		return errNotNow
	}
	ctx = context.WithoutCancel(ctx)
	_, err := p.Store.UpdateApp(ctx, r.App, func(a *hop3.App) error {
		if !a.Awake() || a.Live != r.Number {
			return errNotNow
		}
		a.Asleep = true
		return nil
	})
	if err != nil {
		return err
	}
	err = p.rest(ctx, r, hop3.RouteAsleep)
	if err != nil || meter.Load(r.App).Draining > 0 {
		return errors.Join(err, p.stayAwake(ctx, r))
	}
	p.Logger.Info("asleep", zap.String("app", r.App), zap.Int("release", r.Number))
	if err := p.Runtime.Stop(ctx, r.ID(), p.Settings.StopGrace); err != nil {
		return fmt.Errorf("stopping v%d: %w", r.Number, err) // the next repair tries again
	}
	return nil
}

// stayAwake takes back that an app is asleep while its instances still run.
func (p *Platform) stayAwake(ctx context.Context, r hop3.Release) error {
	if err := p.markAwake(ctx, r); err != nil {
		return err
	}
	instances, err := p.Runtime.Instances(ctx, r.ID())
	if err != nil {
		return err
	}
	return p.serve(ctx, r, instances, true)
}

// markAwake writes down that an app is not asleep any more. It returns
// errNotNow where another release is live by now.
func (p *Platform) markAwake(ctx context.Context, r hop3.Release) error {
	_, err := p.Store.UpdateApp(ctx, r.App, func(a *hop3.App) error {
		if a.Live != r.Number || a.State != hop3.StateRunning {
			return errNotNow
		}
		a.Asleep = false
		return nil
	})
	return err
}
