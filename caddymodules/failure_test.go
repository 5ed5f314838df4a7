package caddymodules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// A failure has one cause, whatever served the request.
func TestCauses(t *testing.T) {
	_, noSocket := net.Dial("unix", filepath.Join(t.TempDir(), "none.sock"))
	_, refused := net.Dial("tcp", "127.0.0.1:1")
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	slow, cancel := context.WithCancelCause(t.Context())
	cancel(errSlowApp)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want cause
	}{
		{t.Context(), caddyhttp.Error(502, reverseproxy.NewDialError(refused)), causeRefused},
		{t.Context(), caddyhttp.Error(502, &failure{connecting(refused), refused}), causeRefused},
		{t.Context(), reverseproxy.NewDialError(noSocket), causeRefused},
		{t.Context(), caddyhttp.Error(502, reset), causeReset},
		{t.Context(), caddyhttp.Error(502, &failure{awaiting(reset), reset}), causeReset},
		{t.Context(), fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), causeReset},
		{t.Context(), errors.New("malformed HTTP response"), causeMalformed},
		{t.Context(), errNoInstance, causeNone},
		{slow, reset, causeSlow},
		{gone, reset, causeClientLeft},
	} {
		if got := causeOf(c.ctx, c.err); got != c.want {
			t.Errorf("%v: the cause is %q, want %q", c.err, got, c.want)
		}
	}
	if _, ok := errors.AsType[reverseproxy.DialError](&failure{causeRefused, refused}); !ok {
		t.Error("a refused connection is not what Caddy calls a dial error")
	}
}
