package caddymodules

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// cause is why an instance did not give the answer that it owed. It is the one
// place that knows: logs and records take it from causeOf.
type cause string

const (
	causeRefused    cause = "refused the connection"
	causeConnecting cause = "took too long to accept the connection"
	causeUnreached  cause = "could not be reached"
	causeReset      cause = "ended the connection before it answered"
	causeSlow       cause = "took too long to answer"
	causeMalformed  cause = "answered what is not HTTP"
	causeBroken     cause = "broke off its answer"
	causeClientLeft cause = "the client left"
	causeNone       cause = "has no instance"
)

// neverSent reports whether no instance has had the request.
func (c cause) neverSent() bool {
	return c == causeRefused || c == causeConnecting || c == causeUnreached || c == causeNone
}

// failure is an attempt that failed.
type failure struct {
	cause cause
	err   error
}

func (f *failure) Error() string { return "the app " + string(f.cause) + ": " + f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// causeOf tells why a request failed, by the error of whatever served it.
func causeOf(ctx context.Context, err error) cause {
	var known *failure
	var dial reverseproxy.DialError
	switch {
	case errors.Is(context.Cause(ctx), errSlowApp):
		return causeSlow
	case ctx.Err() != nil:
		return causeClientLeft
	case errors.Is(err, errNoInstance):
		return causeNone
	case errors.As(err, &known):
		return known.cause
	case errors.As(err, &dial):
		return connecting(err)
	}
	return awaiting(err)
}

// connecting is the cause of an error in connecting to an instance.
func connecting(err error) cause {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT): // of a port, of a socket
		return causeRefused
	case timedOut(err):
		return causeConnecting
	}
	return causeUnreached
}

// awaiting is the cause of an error between the request and the head of the
// answer.
func awaiting(err error) cause {
	var conn *net.OpError
	switch {
	case timedOut(err):
		return causeSlow
	case errors.As(err, &conn) || ended(err):
		return causeReset
	}
	return causeMalformed
}

// inBody is the cause of an error in the body of an answer.
func inBody(err error) cause {
	if timedOut(err) {
		return causeSlow
	}
	return causeBroken
}

func timedOut(err error) bool {
	var slow net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()
}
