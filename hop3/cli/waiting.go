package cli

import (
	"fmt"
	"sync"
	"time"
)

// How long an answer may take before it is said that it is waited for, and how
// often that is said anew.
const (
	waitQuietly = 700 * time.Millisecond
	waitEvery   = time.Second
)

// waiting says at a terminal what is waited for, and how long already, until
// done is called: then the line is gone.
func (p *program) waiting(what string) (done func()) {
	if !isTerminal(p.Err) || p.flags.json || p.flags.verbosity == 0 {
		return func() {}
	}
	began, stop := time.Now(), make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		next := time.NewTimer(waitQuietly)
		defer next.Stop()
		drawn := false
		for {
			select {
			case <-stop:
				if drawn {
					fmt.Fprint(p.Err, "\r\x1b[K")
				}
				return
			case <-next.C:
				drawn = true
				fmt.Fprintf(p.Err, "\r\x1b[K%s… %ds", what, int(time.Since(began).Seconds()))
				next.Reset(waitEvery)
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stop)
		shown.Wait()
	})
}
