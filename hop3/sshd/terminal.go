package sshd

import (
	"context"
	"regexp"

	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
)

var termName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// maxSize is more rows or columns than a terminal has.
const maxSize = 1 << 15

// openTerminal remembers that the client is at a terminal, which it reads and
// shows as it is from now on.
func (s *session) openTerminal(payload []byte) bool {
	var p struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if gossh.Unmarshal(payload, &p) != nil || s.terminal != nil {
		return false
	}
	size := hop3.WindowSize{Rows: 24, Columns: 80}
	if given, ok := sizeOf(p.Rows, p.Columns); ok {
		size = given
	}
	if !termName.MatchString(p.Term) {
		p.Term = "xterm"
	}
	s.terminal = &hop3.Terminal{Type: p.Term, Size: size, Resizes: s.sizes}
	return true
}

func sizeOf(rows, columns uint32) (hop3.WindowSize, bool) {
	if rows == 0 || columns == 0 || rows > maxSize || columns > maxSize {
		return hop3.WindowSize{}, false
	}
	return hop3.WindowSize{Rows: uint16(rows), Columns: uint16(columns)}, true
}

// resize passes the window's last size on.
func (s *session) resize(payload []byte) {
	var p struct{ Columns, Rows, Width, Height uint32 }
	if gossh.Unmarshal(payload, &p) != nil {
		return
	}
	size, ok := sizeOf(p.Rows, p.Columns)
	for ok {
		select {
		case s.sizes <- size:
			return
		default:
		}
		select { // nobody has looked at the last one yet
		case <-s.sizes:
		default:
		}
	}
}

// ending are the signals that end a command. At a terminal Ctrl-C is a
// character, not a signal.
var ending = map[string]bool{"HUP": true, "INT": true, "QUIT": true, "TERM": true, "KILL": true}

// obey reads a client's requests until it closes the session.
func (s *session) obey(requests <-chan *gossh.Request, end context.CancelFunc) {
	for req := range requests {
		switch req.Type {
		case "window-change":
			s.resize(req.Payload)
		case "signal":
			var p struct{ Name string }
			if gossh.Unmarshal(req.Payload, &p) == nil && ending[p.Name] {
				end()
			}
		}
		if req.WantReply {
			_ = req.Reply(false, nil)
		}
	}
}
