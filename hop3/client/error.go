package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// Error is an error that a server answered.
type Error struct {
	Code    int // the JSON-RPC code, or the HTTP status when there was none
	Message string
	Logs    []api.Item // what was said before it failed
	Data    *api.ErrorData
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Exit returns the exit status that goes with the error.
func (e *Error) Exit() int {
	if code := api.Exit(e.Code); code != api.ExitGeneral {
		return code
	}
	if e.Code >= 500 {
		return api.ExitNetwork
	}
	return exitByWords(e.Message)
}

// Unreachable says that a server could not be asked.
type Unreachable struct {
	Server string
	Err    error
}

// Error says what to look at.
func (u *Unreachable) Error() string {
	return fmt.Sprintf("No connection to %s: %v", u.Server, u.Err)
}

// Unwrap returns the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

func unreachable(server string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &Unreachable{Server: server, Err: err}
}

// ServerError returns an error that a server answered. It takes apart the
// message: LOGS:<items>|||<message>, with prefixes of older servers.
func ServerError(wire *api.Error) *Error {
	e := &Error{Code: wire.Code, Message: wire.Message, Data: wire.Data}
	if wire.Code == http.StatusUnauthorized {
		return e
	}
	if logs, message, ok := strings.Cut(strings.TrimPrefix(e.Message, "LOGS:"), "|||"); ok && strings.HasPrefix(e.Message, "LOGS:") {
		if json.Unmarshal([]byte(logs), &e.Logs) == nil {
			e.Message = message
		}
	}
	e.Message = strings.TrimPrefix(e.Message, "Command execution failed: ")
	return e
}

// words are what older servers say with a code that means nothing.
var words = []struct {
	pattern *regexp.Regexp
	exit    int
}{
	{regexp.MustCompile(`(?i)connection.*(refused|failed)`), api.ExitNetwork},
	{regexp.MustCompile(`(?i)not found|does not exist`), api.ExitNotFound},
	{regexp.MustCompile(`(?i)forbidden|permission denied`), api.ExitForbidden},
	{regexp.MustCompile(`(?i)unauthorized|authentication`), api.ExitAuth},
	{regexp.MustCompile(`(?i)already exists|conflict`), api.ExitConflict},
	{regexp.MustCompile(`(?i)deployment failed|deploy failed`), api.ExitDeploy},
	{regexp.MustCompile(`(?i)timeout|timed out`), api.ExitNetwork},
	{regexp.MustCompile(`(?i)invalid|validation|usage:`), api.ExitUsage},
}

func exitByWords(message string) int {
	for _, w := range words {
		if w.pattern.MatchString(message) {
			return w.exit
		}
	}
	return api.ExitGeneral
}
