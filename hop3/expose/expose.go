// Package expose lets the network reach addons, which otherwise only this
// machine does: it listens on ports and passes connections on, from those
// addresses that may.
package expose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// maxConnections is how many connections of one exposed addon are open at a
// time; more are closed at once.
const maxConnections = 500

// dialTimeout is how long an addon may take to accept a connection.
const dialTimeout = 10 * time.Second

// Gate holds the ports that are open. The zero value has none; it is safe for
// concurrent use.
type Gate struct {
	Logger *slog.Logger // nil: nothing is logged

	mu     sync.Mutex
	doors  map[hop3.AddonID]*door
	closed bool
}

// door is one port.
type door struct {
	hop3.OpenPort
	listener net.Listener
	gate     *Gate
	ctx      context.Context
	cancel   context.CancelFunc
	slots    chan struct{}
	running  sync.WaitGroup
}

// Open opens a port for an addon, in place of the one it had. It returns a
// CodeConflict error when something else listens there.
func (g *Gate) Open(id hop3.AddonID, p hop3.OpenPort) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.New("the server is ending")
	}
	if old := g.doors[id]; old != nil {
		old.close()
		delete(g.doors, id)
	}
	l, err := net.Listen("tcp", ":"+strconv.Itoa(p.Port))
	if err != nil {
		return hop3.Errorf(hop3.CodeConflict, "Port %d cannot be opened: %w", p.Port, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &door{OpenPort: p, listener: l, gate: g, ctx: ctx, cancel: cancel, slots: make(chan struct{}, maxConnections)}
	if g.doors == nil {
		g.doors = map[hop3.AddonID]*door{}
	}
	g.doors[id] = d
	d.running.Add(1)
	go d.serve()
	return nil
}

// Close closes the port of an addon, with the connections through it; one that
// has none is no error.
func (g *Gate) Close(id hop3.AddonID) {
	g.mu.Lock()
	d := g.doors[id]
	delete(g.doors, id)
	g.mu.Unlock()
	if d != nil {
		d.close()
	}
}

// Shut closes all ports for good.
func (g *Gate) Shut() {
	g.mu.Lock()
	doors := g.doors
	g.doors, g.closed = nil, true
	g.mu.Unlock()
	for _, d := range doors {
		d.close()
	}
}

func (d *door) close() {
	d.cancel()
	_ = d.listener.Close() // nobody comes in any more, whatever it says
	d.running.Wait()
}

func (d *door) serve() {
	defer d.running.Done()
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors: others may give some back
			select {
			case <-d.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
				continue
			}
		}
		if !d.allowed(conn.RemoteAddr()) || !d.enter() {
			_ = conn.Close() // a stranger
			continue
		}
		d.running.Add(1)
		go d.pass(conn)
	}
}

// allowed reports whether who is at the other end may come in.
func (d *door) allowed(a net.Addr) bool {
	from, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return false
	}
	for _, network := range d.Sources {
		if network.Contains(from.Addr().Unmap()) {
			return true
		}
	}
	return false
}

func (d *door) enter() bool {
	select {
	case d.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// pass carries a connection to the addon and back, until either side ends.
func (d *door) pass(in net.Conn) {
	defer d.running.Done()
	defer func() { <-d.slots }()
	defer func() { _ = in.Close() }() // it has ended
	defer func() {
		if r := recover(); r != nil && d.gate.Logger != nil {
			d.gate.Logger.Error("passing a connection on panicked", "panic", fmt.Sprint(r))
		}
	}()
	dialer := net.Dialer{Timeout: dialTimeout}
	out, err := dialer.DialContext(d.ctx, "tcp", d.Target)
	if err != nil {
		if d.gate.Logger != nil {
			d.gate.Logger.Warn("an exposed addon does not answer", "target", d.Target, "error", err)
		}
		return
	}
	defer func() { _ = out.Close() }() // it has ended
	stop := context.AfterFunc(d.ctx, func() {
		_, _ = in.Close(), out.Close() // both copies end
	})
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		carry(out, in)
	}()
	carry(in, out)
	<-done
}

// carry copies one direction, and says when it has ended.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok && err == nil {
		_ = half.CloseWrite() // the other side may have gone
		return
	}
	_, _ = to.Close(), from.Close() // the other copy must end too
}
