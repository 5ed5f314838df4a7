package platform

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"

	"go.uber.org/zap"
)

// errShutdown is the cause of the contexts that Shutdown ends.
var errShutdown = errors.New("the server is shutting down")

// tasks are the goroutines the platform owns: drains, streamed deploys.
type tasks struct {
	once   sync.Once
	ctx    context.Context
	cancel context.CancelCauseFunc
	// follow is of what has no end of its own; it ends with ctx, or before.
	follow    context.Context
	endFollow context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func (t *tasks) init() {
	t.once.Do(func() {
		t.ctx, t.cancel = context.WithCancelCause(context.Background())
		t.follow, t.endFollow = context.WithCancelCause(t.ctx)
	})
}

// Go runs f in a goroutine of the platform, whose context ends at Shutdown. It
// returns false, having started nothing, once Shutdown was called. A panic in
// f is logged and ends f only.
func (p *Platform) Go(name string, f func(ctx context.Context)) bool {
	t := &p.tasks
	t.init()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		defer func() {
			if r := recover(); r != nil {
				p.Logger.Error("a task panicked", zap.String("task", name), zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
			}
		}()
		f(t.ctx)
	}()
	return true
}

// Interrupt ends the contexts of all tasks, and of all deploys that have not
// switched yet: who waits for one is told why. Nothing new is started.
func (p *Platform) Interrupt() {
	t := &p.tasks
	t.init()
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel(errShutdown)
}

// EndFollowing ends what people follow, events and logs, and lets nobody begin
// to: a server that waits for its requests would wait for ever.
func (p *Platform) EndFollowing() {
	p.tasks.init()
	p.tasks.endFollow(errShutdown)
}

// interruptible returns a context that Interrupt ends too.
func (p *Platform) interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	p.tasks.init()
	return endedBy(ctx, p.tasks.ctx)
}

// following returns a context that EndFollowing and Interrupt end too.
func (p *Platform) following(ctx context.Context) (context.Context, context.CancelFunc) {
	p.tasks.init()
	return endedBy(ctx, p.tasks.follow)
}

func endedBy(ctx, end context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(end, func() { cancel(errShutdown) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Shutdown is Interrupt, and waits until all tasks are gone, or ctx is done.
// What they leave undone, the next Reconcile finishes.
func (p *Platform) Shutdown(ctx context.Context) error {
	p.Interrupt()
	t := &p.tasks
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		t.wg.Wait()
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
