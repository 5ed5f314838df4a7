package routing

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// How many requests may wait for apps to wake up. Each is a goroutine and a
// connection, and nothing of its body is read meanwhile.
const (
	maxHeld      = 1000 // for one app
	maxHeldTotal = 5000
)

// An app that could not be woken is left alone for a while, which doubles with
// each failure: requests that come meanwhile are refused without a start.
const minWakePause, maxWakePause = 5 * time.Second, time.Minute

// Waker starts an app that is asleep and returns once its requests can be sent
// to it, or why they cannot.
type Waker func(ctx context.Context, app string) error

// SetWaker says who wakes apps. Before that, as while the server is starting,
// requests for apps that are asleep are told to come again.
func (t *Table) SetWaker(w Waker) {
	t.wakes.mu.Lock()
	defer t.wakes.mu.Unlock()
	t.wakes.waker = w
}

// Wake waits until an app that is asleep takes requests. However many requests
// wait, the app is started once, and the start goes on when they leave. It
// returns a *NotAwake when the app could not be woken or too many requests
// wait already, and the cause of ctx when that ends first.
func (t *Table) Wake(ctx context.Context, app string) error {
	return t.wakes.wait(ctx, app)
}

// NotAwake says that an app could not be woken.
type NotAwake struct {
	App        string
	RetryAfter time.Duration // when it may be worth another try
	Busy       bool          // too many requests wait for it already
	Err        error         // of the start; nil when this request came too soon after one
}

// Error names the app.
func (e *NotAwake) Error() string {
	switch {
	case e.Busy:
		return fmt.Sprintf("too many requests wait for '%s' to wake up", e.App)
	case e.Err != nil:
		return fmt.Sprintf("'%s' could not be woken: %v", e.App, e.Err)
	}
	return fmt.Sprintf("'%s' could not be woken; it is tried again in %s", e.App, e.RetryAfter.Round(time.Second))
}

// Unwrap returns why the start failed.
func (e *NotAwake) Unwrap() error { return e.Err }

// Private

// wakes are the apps being woken, and those for which that failed.
type wakes struct {
	mu    sync.Mutex
	waker Waker
	held  int
	apps  map[string]*waking
	now   func() time.Time // nil: the time; replaced by tests
	woken func(app string, err error)
}

// waking is what is known of one app.
type waking struct {
	start    *start // nil while none is under way
	held     int
	failures int       // in a row
	pause    time.Time // no start before
}

// start is one attempt. Those that wait for it are told by done; err is
// written before.
type start struct {
	done chan struct{}
	err  error
}

func (w *wakes) wait(ctx context.Context, app string) error {
	s, err := w.join(app)
	if err != nil {
		return err
	}
	defer w.leave(app)
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join counts a request in and returns the start it waits for, which begins
// with the first.
func (w *wakes) join(app string) (*start, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.apps == nil {
		w.apps = make(map[string]*waking)
	}
	a := w.apps[app]
	if a == nil {
		a = &waking{}
		w.apps[app] = a
	}
	if a.start == nil {
		if left := a.pause.Sub(w.time()); left > 0 {
			return nil, &NotAwake{App: app, RetryAfter: left}
		}
	}
	if a.held >= maxHeld || w.held >= maxHeldTotal || w.waker == nil {
		w.drop(app, a)
		return nil, &NotAwake{App: app, RetryAfter: minWakePause, Busy: true}
	}
	if a.start == nil {
		a.start = &start{done: make(chan struct{})}
		go w.run(app, a, a.start, w.waker)
	}
	a.held++
	w.held++
	return a.start, nil
}

func (w *wakes) leave(app string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held--
	if a := w.apps[app]; a != nil {
		a.held--
		w.drop(app, a)
	}
}

// run makes one attempt. It belongs to none of the requests.
func (w *wakes) run(app string, a *waking, s *start, waker Waker) {
	err := call(waker, app)
	w.woken(app, err)
	w.mu.Lock()
	a.start = nil
	if err == nil {
		a.failures, a.pause = 0, time.Time{}
	} else {
		pause := min(minWakePause<<min(a.failures, 10), maxWakePause)
		a.failures++
		a.pause = w.time().Add(pause)
		s.err = &NotAwake{App: app, RetryAfter: pause, Err: err}
	}
	w.drop(app, a)
	w.mu.Unlock()
	close(s.done)
}

// call calls the waker; a panic is an error and ends nothing else.
func call(waker Waker, app string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = hop3.Errorf(hop3.CodeInternal, "waking the app panicked: %v", v)
		}
	}()
	return waker(context.Background(), app)
}

// drop forgets an app of which there is nothing to remember. w.mu is held.
func (w *wakes) drop(app string, a *waking) {
	if a.start == nil && a.held == 0 && a.failures == 0 {
		delete(w.apps, app)
	}
}

// forget forgets the failures of an app that was changed or removed.
func (w *wakes) forget(app string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.apps[app]; a != nil {
		a.failures, a.pause = 0, time.Time{}
		w.drop(app, a)
	}
}

func (w *wakes) time() time.Time {
	if w.now != nil {
		return w.now()
	}
	return time.Now()
}

// allHeld returns the number of requests that wait, by app.
func (w *wakes) allHeld() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := make(map[string]int, len(w.apps))
	for app, a := range w.apps {
		held[app] = a.held
	}
	return held
}

// countWake notes that an app was woken, or why it was not.
func (t *Table) countWake(app string, err error) {
	t.mu.Lock()
	e := t.apps[app]
	t.mu.Unlock()
	switch {
	case e == nil:
	case err == nil:
		e.wakes.Add(1)
	default:
		e.failedWakes.Add(1)
	}
}
