package rpc

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/stream"
)

// followDeploy streams the progress of a deploy: what there was, what comes,
// how it ended. A client that comes back sends the id of the last event it
// saw.
func (h *Handler) followDeploy(w http.ResponseWriter, r *http.Request, id identity) {
	log, err := h.deployLog(r, id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	next := 0
	if last, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil && last >= 0 {
		next = last + 1
	}
	out, end, err := h.openEvents(w)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer end()
	for {
		next, err = sendLines(r.Context(), out, log, next, r.URL.Query().Get("progress") != "")
		if err != nil || r.Context().Err() != nil {
			return
		}
		if done, ok := log.Outcome(); ok && next >= log.Len() {
			_ = out.send(api.EventComplete, log.Len(), complete(log, done)) // the last word, heard or not
			return
		}
		if out.keepalive() != nil {
			return
		}
	}
}

// deployLog returns the log that a request is about. That of an app which the
// caller may not see does not exist for them, unless they began the deploy: one
// that comes to nothing takes the app back that it made.
func (h *Handler) deployLog(r *http.Request, id identity) (*stream.Log, error) {
	log, err := h.Streams.Get(r.PathValue("id"))
	if err != nil || log.User == id.user.Username {
		return log, err
	}
	err = h.Platform.Authorize(r.Context(), id.actor(), log.App, hop3.RoleViewer)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		return h.Streams.Get("") // in the words of a log that is not there
	}
	return log, err
}

// sendLines sends the lines from next on until the log ends, or for one
// keepalive's time. It returns the index of the next line.
func sendLines(ctx context.Context, out *events, log *stream.Log, next int, progress bool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, keepalive)
	defer cancel()
	var tell func(hop3.Progress)
	if progress {
		tell = func(p hop3.Progress) {
			// A client that has left is noticed at the next line.
			_ = out.send(api.EventProgress, -1, api.ProgressEvent{What: p.What, Done: p.Done, Total: p.Total})
		}
	}
	for line := range log.FollowProgress(ctx, next, tell) {
		err := out.send(api.EventLog, line.Index, api.LogEvent{
			Msg: line.Text, Level: line.Level, Color: line.Color, Time: line.Time.UTC().Format(time.RFC3339Nano),
		})
		if err != nil {
			return next, err
		}
		next = line.Index + 1
	}
	return next, nil
}

func complete(log *stream.Log, o stream.Outcome) api.CompleteEvent {
	return api.CompleteEvent{Success: o.Success, Error: o.Error, Duration: o.At.Sub(log.Created).Seconds(), Count: log.Len()}
}

// deployStatus says how far a deploy is.
func (h *Handler) deployStatus(w http.ResponseWriter, r *http.Request, id identity) {
	log, err := h.deployLog(r, id)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	outcome, done := log.Outcome()
	until := time.Now()
	if done {
		until = outcome.At
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"stream_id":        log.ID,
		"app_name":         log.App,
		"complete":         done,
		"success":          outcome.Success,
		"error_message":    outcome.Error,
		"log_count":        log.Len(),
		"subscriber_count": log.Readers(),
		"created_at":       log.Created.UTC().Format(time.RFC3339),
		"duration":         until.Sub(log.Created).Seconds(),
	})
}
