package platform

import (
	"context"
	"time"
)

// Quiet returns when no app is being changed, or with ctx's error. It holds
// nobody off: new changes may begin at any time.
func (p *Platform) Quiet(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for p.locks.held() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// held returns the number of apps whose lock is held or waited for.
func (l *locks) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.apps)
}
