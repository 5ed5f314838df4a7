// Package api is the wire between clients and a Hop3 server: JSON-RPC 2.0
// requests whose only method is "cli" with a command line in them, and the
// items they are answered with.
package api

import "encoding/json"

// Method is the only JSON-RPC method.
const Method = "cli"

// MaxRest is the size of the largest request a server takes, without what is
// uploaded with it.
const MaxRest = 4 << 20

// BodyFor returns the size of the largest request of a server that takes
// uploads of this many bytes: they are sent as base64.
func BodyFor(upload int64) int64 { return (upload+2)/3*4 + MaxRest }

// UploadIn returns how many bytes an upload may have where the largest request
// has this many.
func UploadIn(body int64) int64 { return max(body-MaxRest, 0) / 4 * 3 }

// Request is a JSON-RPC request.
type Request struct {
	Version string          `json:"jsonrpc"`
	Method  string          `json:"method"`
	Params  Params          `json:"params"`
	ID      json.RawMessage `json:"id,omitempty"`
}

// Params are a command line and what does not fit into one.
type Params struct {
	Args  []string `json:"cli_args"`
	Extra Extra    `json:"extra_args"`
}

// Extra is what a client sends beside the command line. Unknown keys are
// ignored.
type Extra struct {
	// Verbosity is 0 quiet, 1 normal, 2 verbose, 3 debug.
	Verbosity Verbosity `json:"verbosity,omitzero"`
	// Streaming asks for the progress of a deploy as a stream.
	Streaming bool `json:"streaming,omitempty"`
	// Env are the variables of deploy --env.
	Env map[string]string `json:"env_vars,omitempty"`
	// Repository is a tar.gz in base64. A server takes it out of the request
	// while reading, so it is empty there.
	Repository string `json:"repository,omitempty"`
	// ImportData is the input of a command in base64, likewise.
	ImportData string `json:"import_data,omitempty"`
}

// Verbosity is a level of output; what is not a number counts as normal.
type Verbosity int

// UnmarshalJSON never fails.
func (v *Verbosity) UnmarshalJSON(b []byte) error {
	var n int
	if json.Unmarshal(b, &n) != nil {
		n = 1
	}
	*v = Verbosity(n)
	return nil
}

// Response is a JSON-RPC response: Result or Error.
type Response struct {
	Version string          `json:"jsonrpc"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
	ID      json.RawMessage `json:"id"`
}

// Error is the error of a response.
type Error struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Data    *ErrorData `json:"data,omitempty"`
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// ErrorData is what a program can use of an error.
type ErrorData struct {
	Kind       string   `json:"kind"`                 // the hop3.Code
	Typed      string   `json:"typed,omitempty"`      // the word that was not understood
	Candidates []string `json:"candidates,omitempty"` // the words nearest to it
	Hint       string   `json:"hint,omitempty"`
}
