// Package sshd is the SSH server: a key tells who a user is, and an exec line
// what they want: to push to an app, to fetch from it, or to run a command.
//
// It is gliderlabs/ssh reduced to that. There are no passwords, subsystems or
// forwarding, and sessions are served by our own channel handler.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	"go.uber.org/zap"
	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git"
)

// Server serves SSH. Home, Repos, Users, Pushes, Fetches and Logger are required;
// nothing is changed after the first Serve.
type Server struct {
	Home    string // the server's home directory; holds the host key
	Repos   Repositories
	Users   Users
	Pushes  Pushes
	Fetches Fetches
	// Commands runs an exec line that is no git command, split into its words,
	// and returns its exit code; nil refuses them all. Its ctx ends when the
	// client has left.
	// From(ctx) is where they come from.
	Commands func(ctx context.Context, user hop3.User, words []string, con Console) int
	Logger   *zap.Logger

	MaxConns         int           // at a time; 0 means 512
	MaxConnsPerHost  int           // of one address, or one IPv6 /64; 0 means 64
	HandshakeTimeout time.Duration // until the user is known; 0 means 30 s
	IdleTimeout      time.Duration // without a byte either way; 0 means 10 min

	once      sync.Once
	startErr  error
	ssh       *ssh.Server
	conns     connTable
	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	closing   bool
}

// Console is the client's end of a command.
type Console struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       *hop3.Terminal // the client's, in raw mode; nil for none
}

// Users says who a key belongs to.
type Users interface {
	// UserByKey returns the user with this key ("SHA256:…"), and an error
	// when there is none.
	UserByKey(ctx context.Context, fingerprint string) (hop3.User, error)
	// Present returns a context that ends when the user loses rights; leave is
	// called at the end.
	Present(ctx context.Context, u hop3.User) (present context.Context, leave func(), err error)
}

// Repositories are the bare repositories; see hop3/git.
type Repositories interface {
	Exists(app string) bool
	Receive(ctx context.Context, app string, opts git.ReceiveOptions) error
	Upload(ctx context.Context, app string, streams git.Streams) error
}

var _ Repositories = (*git.Repositories)(nil)

// Serve accepts connections until ctx ends or the server is shut down or
// closed, and then returns nil. It closes the listener. It may be called for
// several listeners.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if s.once.Do(func() { s.startErr = s.start() }); s.startErr != nil {
		return s.startErr
	}
	if !s.addListener(l) {
		return nil
	}
	defer s.removeListener(l)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Out of descriptors, or the client is gone already.
			s.Logger.Warn("accepting an SSH connection", zap.Error(err))
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		if c := s.conns.add(conn, s.HandshakeTimeout); c != nil {
			go s.handle(c)
		} else {
			conn.Close()
		}
	}
}

func (s *Server) start() error {
	if s.HandshakeTimeout == 0 {
		s.HandshakeTimeout = 30 * time.Second
	}
	if s.IdleTimeout == 0 {
		s.IdleTimeout = 10 * time.Minute
	}
	s.conns.limits(s.MaxConns, s.MaxConnsPerHost)
	key, err := LoadHostKey(filepath.Join(s.Home, "ssh", "host_ed25519"))
	if err != nil {
		return fmt.Errorf("loading the SSH host key: %w", err)
	}
	s.ssh = s.newSSH(key)
	return nil
}

// newSSH configures the protocol's server. Connections come to it through
// HandleConn only.
func (s *Server) newSSH(key gossh.Signer) *ssh.Server {
	return &ssh.Server{
		Version:              "Hop3",
		HostSigners:          []ssh.Signer{key},
		IdleTimeout:          s.IdleTimeout,
		ConnCallback:         remember,
		PublicKeyHandler:     s.offered,
		ServerConfigCallback: s.authConfig,
		ChannelHandlers:      map[string]ssh.ChannelHandler{"session": s.serveSession},
		RequestHandlers:      map[string]ssh.RequestHandler{},
		SubsystemHandlers:    map[string]ssh.SubsystemHandler{},
		ConnectionFailedCallback: func(conn net.Conn, err error) {
			s.Logger.Debug("SSH handshake failed", zap.Stringer("from", conn.RemoteAddr()), zap.Error(err))
		},
	}
}

// connKey is the context key of a connection's *conn.
type connKey struct{}

func remember(ctx ssh.Context, c net.Conn) net.Conn {
	ctx.SetValue(connKey{}, c)
	return c
}

// handle serves one connection to its end.
func (s *Server) handle(c *conn) {
	defer s.conns.remove(c)
	defer c.Close()
	defer s.recovered("serving an SSH connection")
	s.ssh.HandleConn(c)
}

// Shutdown stops accepting, closes connections without a session, and waits for
// the other sessions to end. When ctx ends first it closes them and returns
// ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeListeners()
	s.conns.closeIdle()
	select {
	case <-s.conns.empty():
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Close())
	}
}

// Close stops accepting, cuts every connection and waits for what they ran to
// end.
func (s *Server) Close() error {
	s.closeListeners()
	s.conns.closeAll()
	<-s.conns.empty()
	return nil
}

// recovered, deferred at the root of a goroutine, logs a panic: one bad session
// must not end the server.
func (s *Server) recovered(doing string) {
	if p := recover(); p != nil {
		s.panicked(doing, p)
	}
}

func (s *Server) panicked(doing string, p any) {
	s.Logger.Error("panic", zap.String("doing", doing), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.listeners == nil {
		s.listeners = map[net.Listener]struct{}{}
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
}
