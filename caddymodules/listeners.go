package caddymodules

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Listeners is the listener wrapper caddy.listeners.hop3, by which a server
// that ends loses no connection it has accepted. Go's Shutdown does: a request
// that it reads afterwards, on a connection from before, is dropped. So the
// listeners are closed first, and Shutdown comes when every connection has had
// its first request answered. It changes nothing of the connections.
type Listeners struct {
	// Public is the address, as Caddy writes it, of a public server: while
	// another program stands in front, nothing is accepted on it. Empty for
	// the others.
	Public string `json:"public,omitempty"`

	gate  *gate
	marks sync.Map // net.Conn to *connMark
}

// CaddyModule describes the module.
func (*Listeners) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.listeners.hop3", New: func() caddy.Module { return new(Listeners) }}
}

// Provision finds the server whose listeners it wraps.
func (l *Listeners) Provision(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return errors.New("the listener wrapper hop3 is for servers of Caddy's HTTP")
	}
	var err error
	if l.gate, err = gateOf(ctx); err != nil {
		return err
	}
	server.RegisterConnContext(l.accepted)
	server.RegisterConnState(l.changed)
	server.RegisterOnStop(l.wait)
	return nil
}

// WrapListener makes a listener known to the gate, which closes it first.
func (l *Listeners) WrapListener(inner net.Listener) net.Listener {
	made := &gateListener{Listener: inner, gate: l.gate}
	if l.Public == "" {
		l.gate.add(made)
		return made
	}
	public := &publicListener{gateListener: made, address: l.Public}
	l.gate.addPublic(public)
	return public
}

// Private

// accepted marks a connection. Its server has not accepted another one yet.
func (l *Listeners) accepted(ctx context.Context, conn net.Conn) context.Context {
	m := &connMark{gate: l.gate}
	l.gate.fresh.Add(1)
	l.marks.Store(conn, m)
	return context.WithValue(ctx, connMarkKey{}, m)
}

// changed forgets connections that are gone, or an app's.
func (l *Listeners) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	if m, ok := l.marks.LoadAndDelete(conn); ok {
		m.(*connMark).used()
	}
}

// wait returns when what Shutdown has found under way is done. Caddy itself
// does not wait for it where it is embedded.
func (l *Listeners) wait(ctx context.Context) error {
	limit := time.Duration(l.gate.ending.Load())
	if limit == 0 {
		return nil // another configuration takes over, in this process
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return l.gate.idle(ctx)
}

// connMark is in the context of a connection's requests.
type connMark struct {
	gate *gate
	done atomic.Bool
}

type connMarkKey struct{}

// used notes the first request of the connection, or its end.
func (m *connMark) used() {
	if !m.done.Load() && m.done.CompareAndSwap(false, true) {
		m.gate.fresh.Add(-1)
	}
}

// gateListener tells the gate when its server has accepted for the last time.
type gateListener struct {
	net.Listener
	gate   *gate
	closed sync.Once
	ended  sync.Once
	err    error
}

// Accept is called again only when the last connection has been marked.
func (l *gateListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if errors.Is(err, net.ErrClosed) {
		l.ended.Do(func() { l.gate.remove(l) })
	}
	return conn, err
}

// Close may be called by the gate and by the server. Caddy's own listeners
// bear only one.
func (l *gateListener) Close() error {
	l.closed.Do(func() { l.err = l.Listener.Close() })
	return l.err
}
