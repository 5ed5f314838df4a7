package rpc

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/abilian/hop3/hop3"
)

const (
	// keepalive is shorter than the read timeout of clients and proxies.
	keepalive = 30 * time.Second
	// writeTimeout ends a stream whose reader stopped reading.
	writeTimeout = 30 * time.Second
	// maxFollowers bounds the event streams open at the same time.
	maxFollowers = 500
)

// events writes server-sent events. It is safe for concurrent use.
type events struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	ctrl *http.ResponseController
	// unsent, where somebody sends what is written a moment later, says that
	// there is something: many events at once then go out together. See keepAlive.
	unsent chan struct{}
}

// openEvents begins the answer. The caller calls close at its end.
func (h *Handler) openEvents(w http.ResponseWriter) (e *events, end func(), err error) {
	if h.followers.Add(1) > maxFollowers {
		h.followers.Add(-1)
		return nil, nil, hop3.Errorf(hop3.CodeUnavailable, "Too many streams are open. Try again later.")
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Set("Connection", "keep-alive")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	e = &events{w: w, ctrl: http.NewResponseController(w)}
	_ = e.ctrl.Flush() // the first event would find out anyway that nobody is there
	return e, func() { h.followers.Add(-1) }, nil
}

// send writes one event; id may be negative for none.
func (e *events) send(name string, id int, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	line := "event: " + name + "\n"
	if id >= 0 {
		line += "id: " + strconv.Itoa(id) + "\n"
	}
	return e.write(line + "data: " + ascii(text) + "\n\n")
}

func (e *events) keepalive() error { return e.write(": keepalive\n\n") }

func (e *events) write(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.ctrl.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server can; then its own applies
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	if e.unsent == nil {
		return e.ctrl.Flush()
	}
	select {
	case e.unsent <- struct{}{}:
	default: // it is known already
	}
	return nil
}

// flush sends what was written.
func (e *events) flush() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.ctrl.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every server can; then its own applies
	return e.ctrl.Flush()
}

// ascii escapes all that is not ASCII in a JSON text: clients that split the
// stream into lines take some other characters for their ends.
func ascii(text []byte) string {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return string(out)
}
