package rpc

import (
	"errors"
	"io"
	"net/http"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/webhook"
)

// maxMessage bounds the messages of git hosts: a push of many commits is long.
const maxMessage = 5 << 20

// deliver takes the message of a git host and answers before anything is done.
func (h *Handler) deliver(w http.ResponseWriter, r *http.Request) {
	app := r.PathValue("app")
	hook, err := h.Platform.Webhook(r.Context(), app, r.PathValue("id"))
	if hop3.CodeOf(err) == hop3.CodeUnavailable {
		w.Header().Set("Retry-After", "60")
		writeJSON(w, http.StatusTooManyRequests, map[string]string{"error": hop3.MessageOf(err)})
		return
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		writeJSON(w, http.StatusRequestEntityTooLarge, map[string]string{"error": "the message is too large"})
		return
	}
	if err != nil {
		return // nobody to answer
	}
	ctx := platform.As(r.Context(), platform.Actor{Username: "webhook", Source: address(r)})
	event, err := webhook.Read(r.Header.Get, body, hook.Secret)
	if err != nil {
		h.Platform.RefusedDelivery(ctx, app, err)
		h.fail(w, r, err)
		return
	}
	d, err := h.Platform.Deliver(ctx, app, event)
	switch {
	case hop3.CodeOf(err) == hop3.CodeConflict:
		writeJSON(w, http.StatusAccepted, map[string]string{"status": string(hop3.DeliveryIgnored), "reason": hop3.MessageOf(err)})
	case err != nil:
		h.fail(w, r, err)
	default:
		writeJSON(w, http.StatusAccepted, map[string]string{"status": string(d.Status), "reason": d.Note})
	}
}
