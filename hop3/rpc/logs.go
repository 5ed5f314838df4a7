package rpc

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

// maxTail bounds the lines of the past that a follower gets first.
const maxTail = 10_000

// followLogs streams an app's log lines until the client leaves. The query is
// that of `app logs`: lines, grep, type.
func (h *Handler) followLogs(w http.ResponseWriter, r *http.Request, _ identity) {
	app := r.PathValue("app")
	if _, err := h.Platform.Store.App(r.Context(), app); err != nil {
		h.fail(w, r, err)
		return
	}
	query := r.URL.Query()
	q := platform.LogQuery{Follow: true, Grep: query.Get("grep"), Type: query.Get("type")}
	if text := query.Get("lines"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			h.fail(w, r, hop3.Errorf(hop3.CodeInvalid, "lines must be a number of 1 or more"))
			return
		}
		q.Lines = min(n, maxTail)
	}
	out, end, err := h.openEvents(w)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer end()
	ctx, cancel := context.WithCancel(r.Context())
	stop := keepAlive(ctx, cancel, out)
	defer stop()
	err = h.Platform.Logs(ctx, app, q, func(line string) error {
		return out.send(api.EventLog, -1, api.LogEvent{Msg: line})
	})
	if err != nil && ctx.Err() == nil {
		h.log(r, err)
		_ = out.send(api.EventComplete, -1, api.CompleteEvent{Error: hop3.MessageOf(err)}) // the last word, heard or not
	}
}

// keepAlive sends comments until stop is called, and cancels when nobody reads
// them.
func keepAlive(ctx context.Context, cancel context.CancelFunc, out *events) (stop func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(keepalive)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
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
