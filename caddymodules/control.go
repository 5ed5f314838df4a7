package caddymodules

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Control is what host commands can ask of the process that a server runs in.
// Its functions are safe for concurrent use.
type Control struct {
	// State returns what the process is and what happened to it.
	State func() ProcessState
	// Reload checks the new image of the process, begins the reload and
	// returns its id. An error means that nothing has changed.
	Reload func(ctx context.Context, r ReloadRequest) (id string, err error)
}

// ProcessState describes the process of a server.
type ProcessState struct {
	PID        int       `json:"pid"`
	Version    string    `json:"version"`
	Executable string    `json:"executable"`
	Started    time.Time `json:"started"` // this image of it
	Ready      bool      `json:"ready"`
	Reload     Reloaded  `json:"reload"` // the last one; zero when there was none
}

// Reloaded tells how a reload went.
type Reloaded struct {
	ID    string `json:"id,omitempty"`
	Error string `json:"error,omitempty"` // why the image before it is back
}

// ReloadRequest asks for a reload.
type ReloadRequest struct {
	Binary string `json:"binary,omitempty"` // installed first; "" reloads what is installed
	Grace  *int   `json:"grace,omitempty"`  // seconds for what is under way; nil: the default
}

// ReloadAnswer answers a ReloadRequest.
type ReloadAnswer struct {
	ID    string `json:"id,omitempty"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// SetControl lets host commands reach the process of the server that runs on a
// home.
func SetControl(home string, control Control) {
	if c := running(home); c != nil {
		c.control.Store(&control)
	}
}

// hostHandler answers on the host's own socket: what is about the process here,
// all other by the API.
func (c *core) hostHandler(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("GET /host/process", func(w http.ResponseWriter, _ *http.Request) {
		control := c.control.Load()
		if control == nil {
			writeAnswer(w, http.StatusServiceUnavailable, ReloadAnswer{Error: errNoControl.Error()})
			return
		}
		writeAnswer(w, http.StatusOK, control.State())
	})
	mux.HandleFunc("POST /host/ssh", c.grantSSH)
	mux.HandleFunc("POST /host/reload", func(w http.ResponseWriter, r *http.Request) {
		var request ReloadRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&request); err != nil {
			writeAnswer(w, http.StatusBadRequest, ReloadAnswer{Error: err.Error()})
			return
		}
		control := c.control.Load()
		if control == nil {
			writeAnswer(w, http.StatusServiceUnavailable, ReloadAnswer{
				Error: errNoControl.Error(),
				Hint:  "Try again when it has started. A server that `hop3 caddy run` runs is reloaded by `hop3 caddy reload`.",
			})
			return
		}
		id, err := control.Reload(r.Context(), request)
		if err != nil {
			var known *hop3.Error
			if !errors.As(err, &known) {
				known = &hop3.Error{Message: err.Error()}
			}
			writeAnswer(w, http.StatusConflict, ReloadAnswer{Error: known.Message, Hint: known.Hint})
			return
		}
		writeAnswer(w, http.StatusAccepted, ReloadAnswer{ID: id})
	})
	return mux
}

var errNoControl = errors.New("the server is starting, or runs in a Caddy of its own")

// writeAnswer writes JSON. That the asker has gone is no matter of ours.
func writeAnswer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
