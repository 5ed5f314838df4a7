package caddymodules

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/sys/unix"
)

// dialPatience is how long an instance may take to accept a connection.
const dialPatience = 2 * time.Second

// maxAnswerHead is how large the head of an answer may be, as for Go's client.
const maxAnswerHead = 10 << 20

var errAnswerHead = errors.New("the head of the answer is larger than 10 MB")

// appConn is a connection to an instance, for one request after another. It is
// read and written by the goroutine of the request: nothing runs for one that
// is idle.
type appConn struct {
	net.Conn
	raw    syscall.RawConn
	reader *bufio.Reader // of the connection, with the bound of the head
	out    []byte        // memory for heads of requests
	left   int64         // bytes that the head of the answer may still have; negative: no bound
	reused bool
	since  time.Time // when it became idle

	abort func()                // ends what is under way, from elsewhere
	stop  func() bool           // has abort not be called any more; false: it was
	look  func(fd uintptr) bool // sets quiet
	quiet bool
	polls [1]unix.PollFd // for look
}

var dialer = net.Dialer{Timeout: dialPatience, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Interval: 30 * time.Second}}

// dialApp connects to an instance, whose address is in Caddy's form.
func dialApp(ctx context.Context, address string) (*appConn, error) {
	at, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return nil, err
	}
	conn, err := dialer.DialContext(ctx, at.Network, at.JoinHostPort(0))
	if err != nil {
		return nil, err
	}
	c := &appConn{Conn: conn, left: -1}
	if raw, ok := conn.(syscall.Conn); ok {
		if c.raw, err = raw.SyscallConn(); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	c.reader = bufio.NewReader(boundedReader{c})
	c.abort = func() { _ = conn.SetDeadline(time.Unix(1, 0)) } // long ago
	c.look = func(fd uintptr) bool {
		c.polls[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		n, err := unix.Poll(c.polls[:], 0)
		c.quiet = n == 0 && err == nil
		return true
	}
	return c, nil
}

// boundedReader reads from the connection. While the head of an answer is
// read there is an end to it.
type boundedReader struct{ c *appConn }

func (r boundedReader) Read(b []byte) (int, error) {
	c := r.c
	if c.left < 0 {
		return c.Conn.Read(b)
	}
	if c.left == 0 {
		return 0, errAnswerHead
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}

// open reports whether an idle connection can take a request: its other end
// has neither closed it nor sent what nobody asked for.
func (c *appConn) open() bool {
	if c.raw == nil || time.Since(c.since) >= idleLasts {
		return false
	}
	c.quiet = false
	return c.raw.Read(c.look) == nil && c.quiet
}

// answer reads the head of an answer.
func (c *appConn) answer(r *http.Request) (*http.Response, error) {
	c.left = maxAnswerHead
	res, err := http.ReadResponse(c.reader, r)
	c.left = -1
	return res, err
}

// connTo returns a connection to an instance: one that waits for a request,
// or a new one.
func (s *instances) connTo(ctx context.Context, i *instance, fresh bool) (*appConn, error) {
	for !fresh {
		c := s.idleConn(i)
		if c == nil {
			break
		}
		if c.open() {
			c.reused = true
			return c, nil
		}
		_ = c.Close() // by the other end already
	}
	return dialApp(ctx, i.dial)
}
