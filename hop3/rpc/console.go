package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/console"
)

// maxConsoles bounds the commands that run at consoles at the same time.
const maxConsoles = 64

// console answers GET /api/console: it runs a command with its input and
// output on a websocket. The client's end is the command's.
func (h *Handler) console(w http.ResponseWriter, r *http.Request) {
	// A cookie is sent by every page of a browser that asks: here it proves
	// nothing.
	r.Header.Del("Cookie")
	h.users(func(w http.ResponseWriter, r *http.Request, who identity) {
		if h.consoles.Add(1) > maxConsoles {
			h.consoles.Add(-1)
			h.fail(w, r, hop3.Errorf(hop3.CodeUnavailable, "Too many commands run at consoles. Try again later."))
			return
		}
		defer h.consoles.Add(-1)
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{console.Protocol}})
		if err != nil {
			return // it has been answered
		}
		defer conn.CloseNow()
		// The request's context is the server's business: the connection is ours,
		// until the user loses rights.
		ctx, leave, err := h.Platform.Present(context.WithoutCancel(r.Context()), who.actor())
		if err != nil {
			return // disabled in this moment
		}
		defer leave()
		h.serveConsole(ctx, r, conn, who)
	})(w, r)
}

func (h *Handler) serveConsole(ctx context.Context, r *http.Request, conn *websocket.Conn, who identity) {
	req, err := console.ReadRequest(ctx, conn)
	if err != nil {
		_ = conn.Close(websocket.StatusUnsupportedData, "no request")
		return
	}
	sizes := make(chan hop3.WindowSize, 1)
	var end *console.End
	ready := make(chan struct{})
	end = console.New(ctx, conn, func(channel byte, data []byte) error {
		<-ready
		switch channel {
		case console.EOF:
			end.Finish()
			return nil
		case console.Resize:
			rows, columns, err := console.ParseSize(data)
			if err == nil && rows > 0 && columns > 0 {
				latest(sizes, hop3.WindowSize{Rows: rows, Columns: columns})
			}
			return err
		default:
			return fmt.Errorf("channel %d is not for clients", channel)
		}
	}, console.Stdin)
	close(ready)

	con := command.Console{Stdin: end.Reader(), Stdout: end.Writer(console.Stdout), Stderr: end.Writer(console.Stderr)}
	if req.TTY {
		con.Terminal = terminal(req, sizes)
	}
	exit, err := h.attach(end.Context(), command.Request{Args: req.Args, User: who.user, Token: who.token, Source: who.source, Address: who.address}, con)
	left := end.Context().Err() != nil
	result := api.ConsoleResult{Exit: exit}
	if err != nil {
		if !left {
			h.log(r, err)
		}
		result.Error = WireError(err)
	}
	sent := end.SendResult(result) == nil
	end.Close(sent)
	close(sizes)
}

// attach runs the command; a panic in it is an error of this console only.
func (h *Handler) attach(ctx context.Context, req command.Request, con command.Console) (exit int, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.Logger.Error("a command panicked", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	exit, err = h.Commands.Attach(ctx, req, con)
	if errors.Is(err, command.ErrNotAttached) {
		err = hop3.Errorf(hop3.CodeInvalid, "This command does not run at a console: call it at /rpc.")
	}
	return exit, err
}

var termName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

func terminal(req api.ConsoleRequest, sizes <-chan hop3.WindowSize) *hop3.Terminal {
	t := &hop3.Terminal{Type: req.Term, Size: hop3.WindowSize{Rows: req.Rows, Columns: req.Cols}, Resizes: sizes}
	if !termName.MatchString(t.Type) {
		t.Type = "xterm"
	}
	if t.Size.Rows == 0 || t.Size.Columns == 0 {
		t.Size = hop3.WindowSize{Rows: 24, Columns: 80}
	}
	return t
}

// latest leaves only the last size in a channel for one.
func latest(sizes chan hop3.WindowSize, size hop3.WindowSize) {
	for {
		select {
		case sizes <- size:
			return
		default:
		}
		select {
		case <-sizes:
		default:
		}
	}
}
