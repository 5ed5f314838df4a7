package api

import (
	"net/http"

	"github.com/abilian/hop3/hop3"
)

// Codes of answers that do not come from a command.
const (
	CodeParse          = -32700 // the body is not JSON
	CodeBadRequest     = -32600 // it is, but no request
	CodeUnknownCommand = -32601
	CodeTooLarge       = http.StatusRequestEntityTooLarge
)

// Exit statuses of the command line.
const (
	ExitOK          = 0
	ExitGeneral     = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitAuth        = 4
	ExitForbidden   = 5
	ExitConflict    = 6
	ExitNetwork     = 7
	ExitDeploy      = 8
	ExitDeclined    = 10
	ExitInterrupted = 130
)

// outcomes is the one place where a kind of error gets its JSON-RPC code, its
// HTTP status and its exit status. A client that gets an error answers with
// the first row of its JSON-RPC code. Domain errors keep HTTP 200: the Python
// terminal client reads no body otherwise.
var outcomes = []struct {
	kind hop3.Code
	rpc  int
	http int
	exit int
}{
	{hop3.CodeInvalid, -32602, http.StatusOK, ExitUsage},
	{hop3.CodeNotFound, 404, http.StatusOK, ExitNotFound},
	{hop3.CodeConflict, 409, http.StatusOK, ExitConflict},
	{hop3.CodeForbidden, 403, http.StatusOK, ExitForbidden},
	{hop3.CodeUnauthorized, 401, http.StatusUnauthorized, ExitAuth},
	{hop3.CodeUnavailable, 500, http.StatusOK, ExitNetwork},
	{hop3.CodeInternal, -32603, http.StatusOK, ExitNetwork},
	{hop3.CodeDeploy, -32001, http.StatusOK, ExitDeploy},
	{hop3.CodeCanceled, -32002, http.StatusOK, ExitGeneral},
	{"parse", CodeParse, http.StatusBadRequest, ExitUsage},
	{"bad_request", CodeBadRequest, http.StatusBadRequest, ExitUsage},
	{"unknown_command", CodeUnknownCommand, http.StatusNotFound, ExitNotFound},
	{"too_large", CodeTooLarge, http.StatusRequestEntityTooLarge, ExitUsage},
}

// RPCCode returns the JSON-RPC code of a kind of error.
func RPCCode(kind hop3.Code) int {
	for _, o := range outcomes {
		if o.kind == kind {
			return o.rpc
		}
	}
	return RPCCode(hop3.CodeInternal)
}

// HTTPStatus returns the HTTP status that goes with a JSON-RPC code.
func HTTPStatus(rpc int) int {
	for _, o := range outcomes {
		if o.rpc == rpc {
			return o.http
		}
	}
	return http.StatusOK
}

// Exit returns the exit status for a JSON-RPC code.
func Exit(rpc int) int {
	for _, o := range outcomes {
		if o.rpc == rpc {
			return o.exit
		}
	}
	return ExitGeneral
}

// Kind returns the kind of error a JSON-RPC code stands for.
func Kind(rpc int) hop3.Code {
	for _, o := range outcomes {
		if o.rpc == rpc {
			return o.kind
		}
	}
	return hop3.CodeInternal
}
