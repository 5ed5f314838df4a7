package machine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// load is clients that ask an app without a pause, each time on a new
// connection, until it ends.
type load struct {
	stop context.CancelFunc
	all  sync.WaitGroup

	mu       sync.Mutex
	requests []request
}

// request is one that was made.
type request struct {
	began time.Time
	took  time.Duration
	err   error
}

// startLoad begins to ask, and returns when the first answer has come.
func (m *machine) startLoad(t *testing.T, app string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	t.Cleanup(func() {
		stop()
		l.all.Wait()
	})
	for _, url := range []string{"http://" + app + ".localhost/", "http://" + app + ".localhost/", "https://" + app + ".localhost/"} {
		client := m.client()
		l.all.Go(func() {
			for ctx.Err() == nil {
				r := request{began: time.Now()}
				body, err := ask(client, http.MethodGet, url)
				if err == nil && body != app {
					err = fmt.Errorf("the answer is %q", body)
				}
				if r.took = time.Since(r.began); err != nil {
					r.err = fmt.Errorf("%s: %w", url, err)
				}
				l.mu.Lock()
				l.requests = append(l.requests, r)
				l.mu.Unlock()
			}
		})
	}
	m.eventually(t, "the load has begun", func() error {
		if l.answered() == 0 {
			return errors.New("no request was answered")
		}
		return nil
	})
	return l
}

// answered returns how many requests were answered so far.
func (l *load) answered() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.requests {
		if r.err == nil {
			n++
		}
	}
	return n
}

// end makes a last request each, and reports those that failed although they
// began after a moment.
func (l *load) end(t *testing.T, after time.Time) {
	t.Helper()
	before := l.answered()
	for deadline := time.Now().Add(patience); l.answered() < before+3 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // between two looks
	}
	l.stop()
	l.all.Wait()
	var slowest time.Duration
	failed, early := 0, 0
	for _, r := range l.requests {
		slowest = max(slowest, r.took)
		switch {
		case r.err == nil:
		case r.began.Before(after):
			early++
		default:
			if failed++; failed <= 10 {
				t.Errorf("a request failed after %s: %v", r.took, r.err)
			}
		}
	}
	t.Logf("%d requests, %d failed, %d more were cut off by what was done; the slowest took %s", len(l.requests), failed, early, slowest)
}
