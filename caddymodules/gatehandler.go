package caddymodules

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3/certs"
)

// Gate is the handler http.handlers.hop3_gate, the first of each server that
// `hop3 run` makes: by it a server that starts answers nothing before its apps
// are back, and one that ends knows what it has still to answer.
type Gate struct {
	// Public says that the server is one that gives way to a program in front.
	Public bool `json:"public,omitempty"`

	gate   *gate
	keeper *certs.Keeper // nil where only the routing is Hop3's
}

// CaddyModule describes the module.
func (*Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.hop3_gate", New: func() caddy.Module { return new(Gate) }}
}

// Provision finds the server that it is the first handler of.
func (g *Gate) Provision(ctx caddy.Context) error {
	var err error
	if g.gate, err = gateOf(ctx); err != nil {
		return err
	}
	if app, err := ctx.App("hop3"); err == nil {
		if source, ok := app.(keeperSource); ok {
			g.keeper = source.Keeper()
		}
	}
	return nil
}

// gateOf returns the gate of the server that ctx provisions. Where only the
// routing is Hop3's, it is always open.
func gateOf(ctx caddy.Context) (*gate, error) {
	made, err := ctx.App("hop3")
	if err != nil {
		return nil, fmt.Errorf("finding the app hop3: %w", err)
	}
	if app, ok := made.(*App); ok {
		return app.core.gate, nil
	}
	g := newGate()
	g.open()
	return g, nil
}

// ServeHTTP counts the request while it is served.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	g.gate.await(r.Context())
	if g.keeper != nil && g.keeper.AnswerChallenge(w, r) {
		return nil
	}
	if r.Header.Get("Upgrade") != "" {
		// Such a stream has no end that could be waited for.
		return next.ServeHTTP(w, r)
	}
	if g.gate.ending.Load() != 0 && r.ProtoMajor == 1 {
		// Told so, no client sends its next request into a connection that is
		// just being closed.
		w.Header().Set("Connection", "close")
	}
	if g.Public && g.gate.paused.Load() {
		if r.ProtoMajor == 3 {
			// Who stands in front has no HTTP/3: the client is to come by TCP.
			w.Header().Set("Alt-Svc", "clear")
			w.WriteHeader(http.StatusMisdirectedRequest)
			return nil
		}
		w.Header().Set("Connection", "close") // HTTP/2 knows it too
	}
	epoch := g.gate.begin()
	defer g.gate.end(epoch)
	if m, ok := r.Context().Value(connMarkKey{}).(*connMark); ok { // HTTP/3 has none
		m.used()
	}
	return next.ServeHTTP(w, r)
}
