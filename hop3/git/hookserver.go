package git

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git/hook"
)

// hookServer listens for hooks and matches each, by its token, to the Receive
// that waits for it.
type hookServer struct {
	path     string
	logger   *zap.Logger
	newPush  func(e *expectation, q *hook.Request, out hop3.Output) (hop3.Push, error)
	listener net.Listener
	release  func()
	wg       sync.WaitGroup

	mu       sync.Mutex
	expected map[string]*expectation // by token
}

// expectation is a Receive that waits for its hook.
type expectation struct {
	server     *hookServer
	token      string
	ctx        context.Context
	app, dir   string
	preReceive func(context.Context, hop3.Push, hop3.Output) error

	claimed bool          // under server.mu: a hook came with the token
	decided chan struct{} // closed once err is set; waited for only when claimed
	err     error
}

func listenHooks(path string, logger *zap.Logger, newPush func(*expectation, *hook.Request, hop3.Output) (hop3.Push, error)) (*hookServer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	short, release, err := hook.ShortSocketPath(path)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", short)
	if err != nil {
		release()
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		release()
		return nil, errors.Join(err, listener.Close())
	}
	s := &hookServer{path: path, logger: logger, newPush: newPush, listener: listener, release: release, expected: map[string]*expectation{}}
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

func (s *hookServer) close() error {
	err := s.listener.Close()
	s.wg.Wait()
	s.release()
	return err
}

func (s *hookServer) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors: other goroutines give some back.
			s.logger.Warn("accepting a git hook", zap.Error(err))
			time.Sleep(50 * time.Millisecond)
			continue
		}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer conn.Close()
			defer func() {
				if p := recover(); p != nil {
					logPanic(s.logger, "serving a git hook", p)
				}
			}()
			s.serve(conn)
		}()
	}
}

// serve answers one hook.
func (s *hookServer) serve(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	request, err := hook.Decode(conn)
	if err != nil {
		s.logger.Warn("a git hook was not understood", zap.Error(err))
		fmt.Fprintf(conn, "%c%s\n%s\n", hook.LineOutput, "The push was not taken: the server and its hook do not match.", hook.VerdictReject)
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	e := s.claim(request.Token)
	if e == nil {
		return // the push was given up meanwhile, or it was never ours
	}
	verdict := hook.VerdictReject
	out := NewRelay(func(line string) error {
		_, err := fmt.Fprintf(conn, "%c%s\n", hook.LineOutput, line)
		return err
	})
	defer func() {
		out.Close()
		_, _ = io.WriteString(conn, verdict+"\n")
	}()
	if e.decide(conn, request, out) == nil {
		verdict = hook.VerdictAccept
	}
}

// decide runs PreReceive and keeps what it says for Receive.
func (e *expectation) decide(conn net.Conn, request *hook.Request, out hop3.Output) (err error) {
	defer close(e.decided)
	defer func() {
		if p := recover(); p != nil {
			logPanic(e.server.logger, "deploying a push to "+e.app, p)
			err = errors.New("panic while deploying a push")
		}
		if e.err = err; err != nil {
			out.Log(hop3.LogLine{Text: hop3.MessageOf(err), Color: "red"})
		}
	}()
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	e.server.wg.Add(1)
	go func() {
		defer e.server.wg.Done()
		// The hook says nothing more: its end is git's, or the pusher's.
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	push, err := e.server.newPush(e, request, out)
	if err != nil {
		return err
	}
	return e.preReceive(ctx, push, out)
}

// expect announces a hook.
func (s *hookServer) expect(ctx context.Context, app, dir string, preReceive func(context.Context, hop3.Push, hop3.Output) error) *expectation {
	e := &expectation{
		server: s, token: rand.Text(), ctx: ctx, app: app, dir: dir,
		preReceive: preReceive, decided: make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected[e.token] = e
	return e
}

// claim returns what waits for a token, once.
func (s *hookServer) claim(token string) *expectation {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.expected[token]
	if e != nil {
		delete(s.expected, token)
		e.claimed = true
	}
	return e
}

// release takes the announcement back and, when the hook came already, waits
// for PreReceive. It reports whether PreReceive was called and its error.
func (e *expectation) release() (called bool, err error) {
	e.server.mu.Lock()
	delete(e.server.expected, e.token)
	called = e.claimed
	e.server.mu.Unlock()
	if !called {
		return false, nil
	}
	<-e.decided
	return true, e.err
}

// settled is release for a pusher who has left: it reports whether PreReceive
// nevertheless accepted the push.
func (e *expectation) settled() bool {
	called, err := e.release()
	return called && err == nil
}

func logPanic(logger *zap.Logger, doing string, p any) {
	logger.Error("panic", zap.String("doing", doing), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
}
