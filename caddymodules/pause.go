package caddymodules

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// publicListener accepts for a public server, except while another program
// accepts from the same socket. The socket stays open all the time, with what
// waits in it.
type publicListener struct {
	*gateListener
	address string // as Caddy writes it

	mu     sync.Mutex
	paused chan struct{} // closed when accepting goes on; nil: it does
	over   bool          // closed for good
}

// Accept waits while the listener is paused.
func (l *publicListener) Accept() (net.Conn, error) {
	for {
		inner, paused := l.state()
		if paused != nil {
			<-paused
			continue
		}
		conn, err := inner.Accept()
		if err == nil || !errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		l.mu.Lock()
		over, again := l.over, l.paused != nil || l.Listener != inner
		l.mu.Unlock()
		if over || !again {
			l.ended.Do(func() { l.gate.removePublic(l) })
			return nil, err
		}
	}
}

func (l *publicListener) state() (net.Listener, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Listener, l.paused
}

// Close ends the listener for good.
func (l *publicListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil
	}
	l.over = true
	if l.paused != nil {
		close(l.paused)
		l.paused = nil
		return nil // closed already
	}
	return l.Listener.Close()
}

func (l *publicListener) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.paused != nil {
		return
	}
	l.paused = make(chan struct{})
	_ = l.Listener.Close() // Caddy's, not the socket
}

func (l *publicListener) resume() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.paused == nil {
		return nil
	}
	address, err := caddy.ParseNetworkAddress(l.address)
	if err != nil {
		return err
	}
	made, err := address.Listen(context.Background(), 0, net.ListenConfig{})
	if err != nil {
		return fmt.Errorf("listening at %s again: %w", l.address, err)
	}
	l.Listener = made.(net.Listener)
	close(l.paused)
	l.paused = nil
	return nil
}

// addPublic makes a listener known, which begins as the others are.
func (g *gate) addPublic(l *publicListener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners[l], g.public[l] = struct{}{}, struct{}{}
	if g.paused.Load() {
		l.pause()
	}
}

func (g *gate) removePublic(l *publicListener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.listeners, l)
	delete(g.public, l)
}

// pause has the public servers accept no more. What they have they serve on.
func (g *gate) pause() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused.Store(true)
	for l := range g.public {
		l.pause()
	}
}

// resume takes pause back.
func (g *gate) resume() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused.Store(false)
	var err error
	for l := range g.public {
		err = errors.Join(err, l.resume())
	}
	return err
}
