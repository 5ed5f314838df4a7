package platform

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Wake starts an app that is asleep and returns once its requests are routed
// to it. For an app that is not asleep it does nothing. When the app does not
// become ready it is asleep as before, its status says why, and so does the
// error. It is for a routing table to call, once for any number of requests.
func (p *Platform) Wake(ctx context.Context, name string) error {
	ctx, cancel := p.interruptible(ctx)
	defer cancel()
	unlock, err := p.lockRunning(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return err
	}
	if app.State != hop3.StateRunning || app.Live == 0 {
		return nil // its route says so
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	if err != nil {
		return err
	}
	if app.Asleep {
		return p.wake(ctx, live, hop3.Discard)
	}
	if p.running.is(live) {
		return nil
	}
	return p.bringUp(ctx, live)
}

// wake starts the live release of an app that is asleep. The app is locked by
// lockRunning. Only when it is ready does the database say that it is awake: a
// server that ends before finds it asleep.
func (p *Platform) wake(ctx context.Context, live hop3.Release, out hop3.Output) error {
	began := time.Now()
	instances, err := p.startReady(ctx, live, out)
	if err == nil {
		ctx = context.WithoutCancel(ctx)
		err = p.markAwake(ctx, live)
	}
	if err != nil {
		p.stopQuietly(live)
		p.running.trouble(live.App, hop3.MessageOf(err))
		p.Logger.Warn("an app could not be woken", zap.String("app", live.App), zap.Int("release", live.Number), zap.Error(err))
		return err
	}
	p.Logger.Info("awake", zap.String("app", live.App), zap.Int("release", live.Number), zap.Duration("took", time.Since(began)))
	return p.serve(ctx, live, instances, true)
}
