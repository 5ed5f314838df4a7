// Package console is a command's input and output between a client and a
// server while the command runs, over a websocket.
//
// The client begins with a text message, an api.ConsoleRequest. All other
// messages are binary: a byte that names a channel, and what is sent on it.
// Each side sends at most Window bytes of the command's streams that the other
// has not said to have used. So who pauses at the output keeps the command
// waiting, not the connection: that is read all the time, and pings tell
// whether anybody is there.
package console

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/abilian/hop3/hop3/api"
)

// Path is where a server offers consoles, and Protocol the websocket's
// subprotocol.
const (
	Path     = "/api/console"
	Protocol = "hop3.console.1"
)

// The channels.
const (
	Stdin  byte = 0
	Stdout byte = 1 // with a terminal, all that the command writes
	Stderr byte = 2
	// Used says how many bytes of the streams were used since it was said
	// last: 4 bytes, big-endian.
	Used byte = 3
	// Resize is the new size of the client's window: rows and columns, 2 bytes
	// each, big-endian.
	Resize byte = 4
	// EOF is the end of Stdin.
	EOF byte = 5
	// Exit is the last message: an api.ConsoleResult in JSON.
	Exit byte = 6
)

const (
	// Window bounds what one side may have sent that the other has not used.
	Window = 512 << 10
	// maxRequest bounds the first message, maxMessage all others.
	maxRequest = 1 << 20
	maxMessage = 64 << 10
	maxPiece   = 32 << 10 // of a stream, in one message

	requestTimeout = 30 * time.Second
	writeTimeout   = 30 * time.Second
	pingInterval   = 20 * time.Second
	pongTimeout    = 60 * time.Second
)

// ErrClosed is the cause of a context whose End was closed.
var ErrClosed = errors.New("the console was closed")

// End is one end of a console. Send, Control and Close are safe for concurrent
// use; Receive has one caller.
type End struct {
	conn    *websocket.Conn
	ctx     context.Context
	cancel  context.CancelCauseFunc
	streams []byte
	control func(channel byte, data []byte) error
	work    sync.WaitGroup

	mu      sync.Mutex
	queue   []piece
	queued  int  // bytes in queue
	ended   bool // nothing more is queued
	left    int  // bytes that may be sent
	owed    int  // bytes that were used and not said to be
	arrived chan struct{}
	room    chan struct{}
	sending sync.Mutex // held over a Send: pieces of two do not mix up the window
}

// piece is a part of a stream.
type piece struct {
	channel byte
	data    []byte
}

// New begins to read from a connection: streams are the channels that Receive
// gives, everything else but Used goes to control, from one goroutine. An
// error of it, or of the connection, is the cause of Context's end.
func New(ctx context.Context, conn *websocket.Conn, control func(channel byte, data []byte) error, streams ...byte) *End {
	e := &End{
		conn: conn, streams: streams, control: control, left: Window,
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	conn.SetReadLimit(maxMessage)
	e.work.Go(func() { e.guard(e.read) })
	e.work.Go(func() { e.guard(e.ping) })
	return e
}

// Context ends when the connection does.
func (e *End) Context() context.Context { return e.ctx }

// Send sends a part of a stream, as the window allows.
func (e *End) Send(channel byte, data []byte) error {
	e.sending.Lock()
	defer e.sending.Unlock()
	for len(data) > 0 {
		n, err := e.take(min(len(data), maxPiece))
		if err != nil {
			return err
		}
		if err := e.Control(channel, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// Control sends a message that is no part of a stream.
func (e *End) Control(channel byte, data []byte) error {
	ctx, cancel := context.WithTimeout(e.ctx, writeTimeout)
	defer cancel()
	return e.conn.Write(ctx, websocket.MessageBinary, append([]byte{channel}, data...))
}

// SendResult sends how the command ended.
func (e *End) SendResult(r api.ConsoleResult) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return e.Control(Exit, text)
}

// SendSize sends the size of the window.
func (e *End) SendSize(rows, columns uint16) error {
	b := binary.BigEndian.AppendUint16(nil, rows)
	return e.Control(Resize, binary.BigEndian.AppendUint16(b, columns))
}

// ParseSize reads what SendSize sent.
func ParseSize(data []byte) (rows, columns uint16, err error) {
	if len(data) != 4 {
		return 0, 0, errors.New("a window's size has 4 bytes")
	}
	return binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:]), nil
}

// Receive returns the next part of a stream, and says that the one before was
// used. After Finish, when there is no more, the error is io.EOF.
func (e *End) Receive() (channel byte, data []byte, err error) {
	e.settle()
	for {
		e.mu.Lock()
		if len(e.queue) > 0 {
			p := e.queue[0]
			e.queue = e.queue[1:]
			e.queued -= len(p.data)
			e.owed += len(p.data)
			e.mu.Unlock()
			return p.channel, p.data, nil
		}
		ended := e.ended
		e.mu.Unlock()
		if ended {
			return 0, nil, io.EOF
		}
		select {
		case <-e.arrived:
		case <-e.ctx.Done():
			return 0, nil, context.Cause(e.ctx)
		}
	}
}

// Finish says that no more of the streams comes: Receive gives what there is.
func (e *End) Finish() {
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	wake(e.arrived)
}

// Close ends the connection, telling the other end that all went well when it
// did, and waits for what goes on at this end.
func (e *End) Close(well bool) {
	if well {
		_ = e.conn.Close(websocket.StatusNormalClosure, "") // waits for the other end, for a while
	}
	e.cancel(ErrClosed)
	_ = e.conn.CloseNow()
	e.work.Wait()
}

// Writer returns a stream as an io.Writer.
func (e *End) Writer(channel byte) io.Writer { return writer{e, channel} }

type writer struct {
	end     *End
	channel byte
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.end.Send(w.channel, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Reader returns what Receive gives, of whichever stream, as an io.Reader.
func (e *End) Reader() io.Reader { return &reader{end: e} }

type reader struct {
	end  *End
	rest []byte
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		_, data, err := r.end.Receive()
		if err != nil {
			return 0, err
		}
		r.rest = data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Private

// guard runs one side of the connection; the end of one is the end of both.
func (e *End) guard(f func() error) {
	defer func() {
		if p := recover(); p != nil {
			e.cancel(fmt.Errorf("panic: %v", p))
		}
	}()
	e.cancel(f())
}

func (e *End) read() error {
	for {
		kind, message, err := e.conn.Read(e.ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageBinary || len(message) == 0 {
			return errors.New("the other end does not speak this protocol")
		}
		if err := e.dispatch(message[0], message[1:]); err != nil {
			return err
		}
	}
}

func (e *End) dispatch(channel byte, data []byte) error {
	if channel == Used {
		if len(data) != 4 {
			return errors.New("a count has 4 bytes")
		}
		e.mu.Lock()
		e.left = min(e.left+int(binary.BigEndian.Uint32(data)), Window)
		e.mu.Unlock()
		wake(e.room)
		return nil
	}
	for _, s := range e.streams {
		if s == channel {
			return e.enqueue(piece{channel, data})
		}
	}
	return e.control(channel, data)
}

func (e *End) enqueue(p piece) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || len(p.data) == 0 {
		return nil
	}
	if e.queued+e.owed+len(p.data) > Window {
		return errors.New("the other end sends more than it may")
	}
	// Many small pieces take no more room than their bytes.
	if n := len(e.queue); n > 0 && e.queue[n-1].channel == p.channel && len(e.queue[n-1].data) < maxPiece {
		e.queue[n-1].data = append(e.queue[n-1].data, p.data...)
	} else {
		e.queue = append(e.queue, p)
	}
	e.queued += len(p.data)
	wake(e.arrived)
	return nil
}

// settle says how much was used, when that is worth a message or the other end
// may be waiting for it. When it cannot be said, the connection's end will be
// seen soon; what came before that is still given.
func (e *End) settle() {
	e.mu.Lock()
	n := e.owed
	if e.ended || n < Window/4 && e.queued > 0 {
		n = 0
	}
	e.owed -= n
	e.mu.Unlock()
	if n > 0 {
		_ = e.Control(Used, binary.BigEndian.AppendUint32(nil, uint32(n)))
	}
}

// take waits until something may be sent, and returns how much: at most n.
func (e *End) take(n int) (int, error) {
	for {
		e.mu.Lock()
		n := min(n, e.left)
		e.left -= n
		e.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		select {
		case <-e.room:
		case <-e.ctx.Done():
			return 0, context.Cause(e.ctx)
		}
	}
}

func (e *End) ping() error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return context.Cause(e.ctx)
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(e.ctx, pongTimeout)
		err := e.conn.Ping(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// SendRequest begins a console at the client's end, before New.
func SendRequest(ctx context.Context, conn *websocket.Conn, r api.ConsoleRequest) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

// ReadRequest reads what SendRequest sent.
func ReadRequest(ctx context.Context, conn *websocket.Conn) (r api.ConsoleRequest, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn.SetReadLimit(maxRequest)
	kind, text, err := conn.Read(ctx)
	if err != nil {
		return r, err
	}
	if kind != websocket.MessageText {
		return r, errors.New("the first message is no text")
	}
	return r, json.Unmarshal(text, &r)
}
