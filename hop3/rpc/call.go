package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"unicode"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/command"
)

// Strangers may send enough for a password, not an archive.
const maxStrangerBody = 1 << 20

// minDrained is how much of a request that is refused is read at least.
const minDrained = 400 << 20

// defaultID answers requests without an id, unknownID those whose id could not
// be read (JSON-RPC 2.0, section 5).
var defaultID, unknownID = json.RawMessage("1"), json.RawMessage("null")

// discover is the method that describes the others (OpenRPC, "Service
// Discovery Method").
const discover = "rpc.discover"

// call answers POST /rpc.
func (h *Handler) call(w http.ResponseWriter, r *http.Request) {
	who, err := h.identify(r)
	if err != nil {
		h.answer(w, r, defaultID, nil, err)
		return
	}
	limit := h.maxBody()
	if who.user == nil {
		limit = maxStrangerBody
	}
	defer drain(r.Body, limit)
	req, err := readRequest(r.Body, limit, h.Uploads)
	if hop3.CodeOf(err) == codeTooLarge && who.user == nil {
		err = hop3.Errorf(hop3.CodeUnauthorized, "Authentication required. Use 'hop3 auth login' to authenticate.")
	}
	if err != nil {
		if len(req.ID) == 0 && hop3.CodeOf(err) != hop3.CodeUnauthorized {
			req.ID = unknownID
		}
		h.answer(w, r, req.ID, nil, err)
		return
	}
	ctx := r.Context()
	if who.user != nil {
		present, leave, err := h.Platform.Present(ctx, who.actor())
		if err != nil {
			h.answer(w, r, req.ID, nil, errors.Join(err, req.discard()))
			return
		}
		defer leave()
		ctx = present
	}
	args := req.Params.Args
	switch req.Method {
	case api.Method:
	case discover:
		h.answerWith(w, r, req.ID, h.Commands.OpenRPC(), req.discard())
		return
	default:
		if args, err = h.Commands.Arguments(req.Method, req.named); err != nil {
			h.answer(w, r, req.ID, nil, errors.Join(err, req.discard()))
			return
		}
	}
	items, err := h.run(ctx, command.Request{
		Args:   args,
		User:   who.user,
		Token:  who.token,
		Source: who.source, Address: who.address,
		Extra: command.Extra{
			Verbosity: int(req.Params.Extra.Verbosity),
			Streaming: req.Params.Extra.Streaming,
			Env:       req.Params.Extra.Env,
			Upload:    req.upload,
		},
	})
	h.answer(w, r, req.ID, items, err)
}

// run runs the command; a panic in it is an error of this request only.
func (h *Handler) run(ctx context.Context, req command.Request) (items []api.Item, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.Logger.Error("a command panicked", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			items, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return h.Commands.Run(ctx, req)
}

// drain reads what is left of a body: a client that still sends does not see
// an answer.
func drain(body io.Reader, limit int64) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, max(2*limit, minDrained))) // what fails here, the client knows already
}

// maxBody is the size of the largest request: one with the largest archive. Of
// that, only what is around the archive is ever in memory.
func (h *Handler) maxBody() int64 { return api.BodyFor(h.Uploads.Limits.MaxSize()) }

// answer writes the items, or the error.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, id json.RawMessage, items []api.Item, err error) {
	if items == nil {
		items = []api.Item{}
	}
	h.answerWith(w, r, id, items, err)
}

// answerWith writes a result, or the error.
func (h *Handler) answerWith(w http.ResponseWriter, r *http.Request, id json.RawMessage, result any, err error) {
	if len(id) == 0 {
		id = defaultID
	}
	resp := api.Response{Version: "2.0", ID: id}
	if err == nil {
		resp.Result, err = json.Marshal(result)
	}
	status := http.StatusOK
	if err != nil {
		h.log(r, err)
		resp.Error = WireError(err)
		status = api.HTTPStatus(resp.Error.Code)
	}
	writeJSON(w, status, resp)
}

// fail answers a request that is not JSON-RPC with an error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.log(r, err)
	writeJSON(w, failStatus(err), map[string]any{"error": WireError(err)})
}

// failStatus is the HTTP status of an error in what is not JSON-RPC.
func failStatus(err error) int {
	status := map[hop3.Code]int{
		hop3.CodeInvalid:      http.StatusBadRequest,
		hop3.CodeUnauthorized: http.StatusUnauthorized,
		hop3.CodeForbidden:    http.StatusForbidden,
		hop3.CodeNotFound:     http.StatusNotFound,
		hop3.CodeConflict:     http.StatusConflict,
		hop3.CodeUnavailable:  http.StatusServiceUnavailable,
	}[hop3.CodeOf(err)]
	if status == 0 {
		return http.StatusInternalServerError
	}
	return status
}

// log writes down what the user cannot do anything about.
func (h *Handler) log(r *http.Request, err error) {
	code := hop3.CodeOf(err)
	if code == hop3.CodeInternal && !errors.Is(err, context.Canceled) {
		h.Logger.Error("a request failed", zap.String("path", r.URL.Path), zap.Error(err))
	}
}

// WireError returns an error as clients get it.
func WireError(err error) *api.Error {
	kind := hop3.CodeOf(err)
	e := &api.Error{Code: api.RPCCode(kind), Message: printable(hop3.MessageOf(err)), Data: &api.ErrorData{Kind: string(kind)}}
	if h := new(hop3.Error); errors.As(err, &h) {
		e.Data.Hint = h.Hint
	}
	if m := new(command.Mistake); errors.As(err, &m) {
		e.Data.Typed, e.Data.Candidates = printable(m.Typed), m.Candidates
	}
	return e
}

// printable makes an error, which may quote what it was asked for, harmless to a
// terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
