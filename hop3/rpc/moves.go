package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

// routeMoves answers other servers from which apps come. See api.MovesPath.
func (h *Handler) routeMoves() {
	app := api.MovesPath + "{app}"
	h.mux.HandleFunc("GET "+app, h.arrivals(h.moveStatus))
	h.mux.HandleFunc("DELETE "+app, h.arrivals(h.abandonMove))
	h.mux.HandleFunc("POST "+app+"/offer", h.arrivals(h.offerMove))
	h.mux.HandleFunc("PUT "+app+"/copies/{id}/{name...}", h.arrivals(h.receiveCopy))
	h.mux.HandleFunc("POST "+app+"/copies/{id}/first", h.arrivals(h.moveStep((*platform.Arrival).Prepare)))
	h.mux.HandleFunc("POST "+app+"/copies/{id}/last", h.arrivals(h.moveStep((*platform.Arrival).Finish)))
}

// arrivals lets only those servers through whose app may come.
func (h *Handler) arrivals(next func(http.ResponseWriter, *http.Request, *platform.Arrival)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		ctx := platform.As(r.Context(), platform.Actor{Username: "another server", Source: address(r)})
		a, err := h.Platform.Arrival(ctx, r.PathValue("app"), strings.TrimSpace(secret))
		if err != nil {
			h.fail(w, r, err)
			return
		}
		next(w, r.WithContext(ctx), a)
	}
}

func (h *Handler) moveStatus(w http.ResponseWriter, r *http.Request, a *platform.Arrival) {
	answer, err := a.Status(r.Context())
	h.moveAnswer(w, r, answer, err)
}

func (h *Handler) moveAnswer(w http.ResponseWriter, r *http.Request, answer hop3.MoveAnswer, err error) {
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (h *Handler) abandonMove(w http.ResponseWriter, r *http.Request, a *platform.Arrival) {
	if err := a.Abandon(r.Context()); err != nil {
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *Handler) offerMove(w http.ResponseWriter, r *http.Request, a *platform.Arrival) {
	var o hop3.MoveOffer
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, api.MaxMoveOffer)).Decode(&o); err != nil {
		h.fail(w, r, hop3.Errorf(hop3.CodeInvalid, "What is said of the app cannot be read: %w", err))
		return
	}
	answer, err := a.Offer(r.Context(), o)
	h.moveAnswer(w, r, answer, err)
}

func (h *Handler) receiveCopy(w http.ResponseWriter, r *http.Request, a *platform.Arrival) {
	body := &patient{body: r.Body, ctrl: http.NewResponseController(w)}
	if err := a.Receive(r.Context(), r.PathValue("id"), r.PathValue("name"), body); err != nil {
		if body.err != nil { // the sender has left
			err = hop3.Errorf(hop3.CodeUnavailable, "The file did not come whole: %w", err)
		}
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// patient reads a body that takes any time, as long as something comes.
type patient struct {
	body io.Reader
	ctrl *http.ResponseController
	err  error
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.ctrl.SetReadDeadline(time.Now().Add(time.Minute)) // where there is none, there is no other either
	n, err := p.body.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		p.err = err
	}
	return n, err
}

// moveStep answers with what a step says while it goes on.
func (h *Handler) moveStep(step func(*platform.Arrival, context.Context, string, hop3.Output) (hop3.MoveAnswer, error)) func(http.ResponseWriter, *http.Request, *platform.Arrival) {
	return func(w http.ResponseWriter, r *http.Request, a *platform.Arrival) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		out := &moveEvents{w: json.NewEncoder(w), ctrl: http.NewResponseController(w)}
		done, alive := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(alive)
			ticker := time.NewTicker(keepalive)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					out.send(api.MoveEvent{})
				case <-done:
					return
				}
			}
		}()
		answer, err := step(a, r.Context(), r.PathValue("id"), out)
		close(done)
		<-alive
		if err != nil {
			h.log(r, err)
			out.send(api.MoveEvent{Error: WireError(err)})
			return
		}
		out.send(api.MoveEvent{Answer: &answer})
	}
}

// moveEvents writes the lines of a step. It is safe for concurrent use.
type moveEvents struct {
	mu   sync.Mutex
	w    *json.Encoder
	ctrl *http.ResponseController
}

// Log implements hop3.Output.
func (e *moveEvents) Log(line hop3.LogLine) {
	if !line.Once { // a secret is for people of this server
		e.send(api.MoveEvent{Log: &api.MoveLog{Text: line.Text, Level: line.Level, Color: line.Color}})
	}
}

func (e *moveEvents) send(event api.MoveEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.ctrl.SetWriteDeadline(time.Now().Add(writeTimeout)) // who has left, or does not read, learns the end by asking
	if e.w.Encode(event) == nil {
		_ = e.ctrl.Flush() // as above
	}
}
