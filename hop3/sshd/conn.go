package sshd

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxSessions is how many sessions a connection may have at a time.
const maxSessions = 16

// conn is a connection that counts. Until its user is known, no deadline set on
// it goes beyond that of the handshake: gliderlabs moves the deadline with
// every byte, so that a slow trickle could hold a connection for ever.
type conn struct {
	net.Conn
	host string

	mu          sync.Mutex
	handshakeBy time.Time // zero once the user is known

	work sync.WaitGroup // the sessions and what reads their requests

	// Under connTable.mu:
	running  int  // sessions that run
	channels int  // sessions whose client has not confirmed their end
	gone     bool // no more sessions
}

// SetDeadline sets both deadlines; see conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by := c.handshakeBy; !by.IsZero() && (t.IsZero() || t.After(by)) {
		t = by
	}
	return c.Conn.SetDeadline(t)
}

// authenticated lifts the handshake's deadline.
func (c *conn) authenticated() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshakeBy = time.Time{}
}

// connTable holds the connections, and holds their number down.
type connTable struct {
	mu      sync.Mutex
	max     int
	perHost int
	conns   map[*conn]struct{}
	hosts   map[string]int
	closing bool
	drained chan struct{} // closed when closing and the last has gone
}

func (t *connTable) limits(max, perHost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.max = max; t.max == 0 {
		t.max = 512
	}
	if t.perHost = perHost; t.perHost == 0 {
		t.perHost = 64
	}
	t.conns, t.hosts = map[*conn]struct{}{}, map[string]int{}
}

// add returns nil when there are too many connections, or none are wanted.
func (t *connTable) add(nc net.Conn, handshake time.Duration) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	host := hostOf(nc.RemoteAddr())
	if t.closing || len(t.conns) >= t.max || t.hosts[host] >= t.perHost {
		return nil
	}
	c := &conn{Conn: nc, host: host, handshakeBy: time.Now().Add(handshake)}
	t.conns[c] = struct{}{}
	t.hosts[host]++
	return c
}

// remove waits for the connection's sessions and forgets it.
func (t *connTable) remove(c *conn) {
	t.mu.Lock()
	c.gone = true
	t.mu.Unlock()
	c.work.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	if t.hosts[c.host]--; t.hosts[c.host] <= 0 {
		delete(t.hosts, c.host)
	}
	t.drain()
}

// drain is called with mu held.
func (t *connTable) drain() {
	if t.drained != nil && len(t.conns) == 0 {
		select {
		case <-t.drained:
		default:
			close(t.drained)
		}
	}
}

// empty refuses further connections and returns a channel that is closed when
// none is left.
func (t *connTable) empty() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = true
	if t.drained == nil {
		t.drained = make(chan struct{})
	}
	t.drain()
	return t.drained
}

// begin counts a session of a connection; it reports whether one more may be.
// What it counted is given back by end and forget.
func (t *connTable) begin(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || c.gone || c.channels >= maxSessions {
		return false
	}
	c.channels++
	c.running++
	c.work.Add(2)
	return true
}

// end says that a session has run. The last one of a server that shuts down
// takes its connection along.
func (t *connTable) end(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.running--
	c.work.Done()
	if t.closing && c.running == 0 {
		c.part()
	}
}

// farewell is how long a client that has no session any more has to close its
// connection by itself.
const farewell = 500 * time.Millisecond

// part ends a connection without a session. Not at once: a client that still
// has to read how its session ended, or to say goodbye, would find the
// connection reset, and call what has succeeded a failure.
func (c *conn) part() { time.AfterFunc(farewell, func() { _ = c.Close() }) }

// forget says that a session's channel is closed on both sides.
func (t *connTable) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.channels--
	c.work.Done()
}

// closeIdle refuses further connections and ends those without a session.
func (t *connTable) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = true
	for c := range t.conns {
		if c.running == 0 {
			c.part()
		}
	}
}

// closeAll refuses further connections and cuts those there are.
func (t *connTable) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = true
	for c := range t.conns {
		c.Close()
	}
}

// hostOf returns what a connection is counted under: everybody has a whole /64
// of IPv6 addresses to come from.
func hostOf(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	ip := ap.Addr().Unmap()
	if ip.Is6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}
