package hop3

import (
	"errors"
	"fmt"
	"syscall"
)

// Code classifies an Error for the front doors: each maps it once to a
// JSON-RPC code, an HTTP status or an exit code.
type Code string

// The codes. An error without one is CodeInternal.
const (
	CodeInvalid      Code = "invalid"      // the caller's input is wrong
	CodeNotFound     Code = "not_found"    // the named thing does not exist
	CodeConflict     Code = "conflict"     // it exists already, or is busy
	CodeForbidden    Code = "forbidden"    // this user may not do that
	CodeUnauthorized Code = "unauthorized" // nobody proved who they are
	CodeUnavailable  Code = "unavailable"  // the server cannot do it now
	CodeDeploy       Code = "deploy"       // the app's own build or start failed
	CodeCanceled     Code = "canceled"     // the caller gave up, or was superseded
	CodeInternal     Code = "internal"     // a bug or a broken machine
)

// Error is an error whose Message is a sentence meant for a user. The wrapped
// Err, when there is one, is for the log.
type Error struct {
	Code    Code
	Message string
	Hint    string // what to do about it; may be empty
	Err     error
}

// Errorf returns an Error with a formatted message. A %w verb wraps as in
// fmt.Errorf.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint returns e after setting its hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Error returns the message and, on a second line, the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "\n" + e.Hint
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first Error in err's chain, CodeInternal when
// there is none (CodeUnavailable when the disk is full), and the empty code for a nil error.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	if IsDiskFull(err) {
		return CodeUnavailable
	}
	return CodeInternal
}

// MessageOf returns the sentence a user may see: the message of the first
// Error in err's chain with its hint, or "internal error" when there is none.
func MessageOf(err error) string {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Error()
	}
	if IsDiskFull(err) {
		return "the server's disk is full: it has no room for more data, or for more files\nTry again when its admin has made room. What is live is not affected."
	}
	return "internal error (the server's log says more)"
}

// IsDiskFull reports whether what failed did so because the disk has no room
// left, neither bytes nor inodes, or none for us.
func IsDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
