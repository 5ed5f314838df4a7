package rpc

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/platform"
)

// followLogs streams an app's log lines until the client leaves, or the app is
// destroyed. The query has the flags of `app logs` by their names. Who reads
// slowly misses lines, and is told so.
func (h *Handler) followLogs(w http.ResponseWriter, r *http.Request, id identity) {
	app := r.PathValue("app")
	who := id.actor()
	if err := h.Platform.Authorize(r.Context(), who, app, hop3.RoleViewer); err != nil {
		h.fail(w, r, err)
		return
	}
	q, err := command.LogQuery(r.Context(), h.Platform, who, app, r.URL.Query().Get)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	q.Follow = true
	out, end, err := h.openEvents(w)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer end()
	ctx, cancel := context.WithCancel(r.Context())
	stop := keepAlive(ctx, cancel, out)
	defer stop()
	err = h.Platform.Logs(ctx, who, app, q, func(line platform.LogLine) error {
		event := api.LogEvent{Msg: line.String()}
		if !line.Time.IsZero() {
			event.Time = line.Time.UTC().Format(time.RFC3339Nano)
		}
		return out.send(api.EventLog, -1, event)
	})
	if err != nil && ctx.Err() == nil {
		h.log(r, err)
		_ = out.send(api.EventComplete, -1, api.CompleteEvent{Error: hop3.MessageOf(err)}) // the last word, heard or not
	}
}

// keepAlive sends what is written to out from now on, and comments, until stop
// is called, and cancels when nobody reads them.
func keepAlive(ctx context.Context, cancel context.CancelFunc, out *events) (stop func()) {
	out.unsent = make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(keepalive)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-out.unsent:
				if out.flush() != nil {
					cancel()
					return
				}
			case <-tick.C:
				if out.keepalive() != nil {
					cancel()
					return
				}
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
