package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/console"
)

// dialTimeout bounds the beginning of a console.
const dialTimeout = 30 * time.Second

// ErrNoConsole says that a server has no consoles: what has to be run can only
// be Called.
var ErrNoConsole = errors.New("the server does not run commands at a console")

// Console is this end of a command that reads and writes while it runs.
type Console struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       *Terminal // nil for none
}

// Terminal is the terminal that the command gets.
type Terminal struct {
	Type          string // $TERM
	Rows, Columns uint16
	// Resizes tells of later sizes, rows and columns; nil for none.
	Resizes <-chan [2]uint16
}

// Attach runs a command line at a console and returns its exit code. Errors
// are those of Call, and ErrNoConsole. When ctx ends, so does the command. A
// read of con.Stdin that waits when the command ends is left to whoever closes
// that.
func (c *Client) Attach(ctx context.Context, args []string, con Console) (exit int, err error) {
	conn, err := c.dialConsole(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.CloseNow()
	req := api.ConsoleRequest{Args: args}
	if t := con.Terminal; t != nil {
		req.TTY, req.Term, req.Rows, req.Cols = true, t.Type, t.Rows, t.Columns
	}
	if err := console.SendRequest(ctx, conn, req); err != nil {
		return 0, unreachable(c.base, err)
	}
	var (
		end    *console.End
		result *api.ConsoleResult
		ready  = make(chan struct{})
	)
	end = console.New(ctx, conn, func(channel byte, data []byte) error {
		<-ready
		if channel != console.Exit {
			return nil // of a newer server
		}
		result = new(api.ConsoleResult)
		if err := json.Unmarshal(data, result); err != nil {
			return fmt.Errorf("reading the exit code: %w", err)
		}
		end.Finish()
		return nil
	}, console.Stdout, console.Stderr)
	close(ready)
	go feed(end, con.Stdin)
	if con.Terminal != nil && con.Terminal.Resizes != nil {
		go resize(end, con.Terminal.Resizes)
	}
	err = show(end, con)
	end.Close(err == nil)
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, new(outputError)):
		return 0, err
	case err != nil || result == nil:
		return 0, unreachable(c.base, fmt.Errorf("the connection ended before the command: %w", err))
	case result.Error != nil:
		return 0, ServerError(result.Error)
	}
	return result.Exit, nil
}

// dialConsole connects. The handshake is of HTTP/1.1, which knows how to
// become something else.
func (c *Client) dialConsole(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	transport := c.http.Transport.(*http.Transport).Clone()
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.ForceAttemptHTTP2 = false
	transport.TLSNextProto = nil
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	header := http.Header{"User-Agent": {"hop3-cli"}}
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	conn, resp, err := websocket.Dial(ctx, c.base+console.Path, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport, CheckRedirect: c.http.CheckRedirect},
		HTTPHeader:   header,
		Subprotocols: []string{console.Protocol},
	})
	switch {
	case err == nil:
		return conn, nil
	case resp == nil || resp.StatusCode == http.StatusSwitchingProtocols:
		return nil, unreachable(c.base, err)
	}
	var answer struct{ Error *api.Error }
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // it only words the error
	if json.Unmarshal(body, &answer) == nil && answer.Error != nil && answer.Error.Message != "" {
		return nil, ServerError(answer.Error)
	}
	return nil, ErrNoConsole
}

// feed sends the input until it ends, or the console does.
func feed(end *console.End, stdin io.Reader) {
	if stdin != nil {
		_, _ = io.Copy(end.Writer(console.Stdin), stdin) // what could not be read is missing, as in a pipe
	}
	_ = end.Control(console.EOF, nil)
}

func resize(end *console.End, sizes <-chan [2]uint16) {
	for {
		select {
		case <-end.Context().Done():
			return
		case size, ok := <-sizes:
			if !ok || end.SendSize(size[0], size[1]) != nil {
				return
			}
		}
	}
}

// outputError says that the output could not be written here.
type outputError struct{ error }

func (e outputError) Unwrap() error { return e.error }

// show writes the output until its end.
func show(end *console.End, con Console) error {
	for {
		channel, data, err := end.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		to := con.Stdout
		if channel == console.Stderr {
			to = con.Stderr
		}
		if _, err := to.Write(data); err != nil {
			return outputError{err}
		}
	}
}
