package rpc

import (
	"context"
	"net/http"
	"strconv"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/command"
)

// followEvents streams what happens until the client leaves. The query has the
// flags of `events` by their names. A client that comes back, to another server
// on the same database too, sends the id of the last event it saw.
func (h *Handler) followEvents(w http.ResponseWriter, r *http.Request, id identity) {
	q, err := command.EventQuery(r.URL.Query().Get("app"), r.URL.Query().Get)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil && last > 0 {
		q.After = last
	}
	who := id.actor()
	who.Source = id.address
	if _, err := h.Platform.Events(r.Context(), who, hop3.EventQuery{App: q.App, Limit: 1}); err != nil {
		h.fail(w, r, err)
		return
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
	err = h.Platform.FollowEvents(ctx, who, q, func(e hop3.Event) error {
		return out.send(api.EventEvent, int(e.ID), api.EventOf(e))
	})
	if hop3.CodeOf(err) == hop3.CodeUnavailable {
		return // without a word of an end: the next server goes on
	}
	if err != nil && ctx.Err() == nil {
		h.log(r, err)
		_ = out.send(api.EventComplete, -1, api.CompleteEvent{Error: hop3.MessageOf(err)}) // the last word, heard or not
	}
}
