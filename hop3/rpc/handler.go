// Package rpc is the HTTP front door of clients: commands at POST /rpc, the
// progress of deploys and the logs of apps as event streams, programs at a
// websocket.
package rpc

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/archive"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/console"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/stream"
)

// Handler answers clients. All exported fields are required, unless
// they say otherwise.
type Handler struct {
	Platform *platform.Platform
	Commands *command.Commands
	Streams  *stream.Hub
	Version  string
	Logger   *zap.Logger
	Uploads  Uploads
	// Host is who requests without a token come from. It is for a listener
	// that only the server's administrator can reach; nil everywhere else.
	Host *hop3.User
	// OverTLS reports whether a proxy that is trusted says of a request that it
	// came by HTTPS; nil where there is none.
	OverTLS func(*http.Request) bool

	once      sync.Once
	mux       *http.ServeMux
	followers atomic.Int32 // of event streams
	consoles  atomic.Int32
}

// Uploads is what archives may be, and where they are kept until they are
// unpacked: in Dir, "" for the system's directory of temporary files.
type Uploads struct {
	Dir    string
	Limits archive.Limits
}

// ServeHTTP answers POST /rpc, GET /api/stream/{id}, GET
// /api/stream/{id}/status, GET /api/apps/{app}/logs/stream, GET /api/events, GET
// /api/addons/{type}/{name}/export, PUT /api/addons/{type}/{name}/import, GET /api/console
// (a websocket), GET /why/{id}, the pages of logins under /auth/, POST /hooks/{app}/{id}, what other servers ask below api.MovesPath, GET /health and GET /version; everything else is not found.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(h.route)
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) route() {
	h.mux = http.NewServeMux()
	// Both forms, because clients follow no redirect here.
	h.mux.HandleFunc("POST /rpc", h.call)
	h.mux.HandleFunc("POST /rpc/{$}", h.call)
	h.mux.HandleFunc("GET /api/stream/{id}", h.users(h.followDeploy))
	h.mux.HandleFunc("GET /api/stream/{id}/status", h.users(h.deployStatus))
	h.mux.HandleFunc("GET /api/apps/{app}/logs/stream", h.users(h.followLogs))
	h.mux.HandleFunc("GET /why/{id}", h.why)
	h.mux.HandleFunc("GET /api/events", h.users(h.followEvents))
	h.mux.HandleFunc("GET /api/addons/{type}/{name}/export", h.users(h.exportAddon))
	h.mux.HandleFunc("PUT /api/addons/{type}/{name}/import", h.users(h.importAddon))
	h.mux.HandleFunc("GET "+console.Path, h.console)
	h.mux.HandleFunc("POST /hooks/{app}/{id}", h.deliver)
	h.routeLogin()
	h.routeMoves()
	h.mux.HandleFunc("GET /health", h.health)
	h.mux.HandleFunc("GET /version", h.version)
}

func (h *Handler) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (h *Handler) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"version": h.Version, "max_body": h.maxBody()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client left: there is nobody to tell
}
