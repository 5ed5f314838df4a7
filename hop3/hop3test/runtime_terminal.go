package hop3test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// session is a one-off command at a terminal, and who sits at it.
type session struct {
	*runtimeTest
	keyboard *io.PipeWriter
	resizes  chan hop3.WindowSize
	cancel   context.CancelFunc

	mu     sync.Mutex
	screen bytes.Buffer

	ended chan struct{}
	exit  int // once ended is closed
	err   error
}

// Write is the terminal's output.
func (s *session) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.screen.Write(b)
}

// login runs a command at a terminal of 40 rows and 120 columns.
func (t *runtimeTest) login(shell string) *session {
	in, keyboard := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	s := &session{runtimeTest: t, keyboard: keyboard, resizes: make(chan hop3.WindowSize), cancel: cancel, ended: make(chan struct{})}
	cmd := hop3.OneOff{Shell: shell, Stdin: in, Stdout: s, Terminal: &hop3.Terminal{
		Type: "xterm-256color", Size: hop3.WindowSize{Rows: 40, Columns: 120}, Resizes: s.resizes,
	}}
	l := t.launch(1)
	go func() {
		defer close(s.ended)
		s.exit, s.err = t.Runtime.Run(ctx, l, cmd)
		in.Close() // as who serves the connection does
	}()
	t.Cleanup(func() {
		cancel()
		<-s.ended
	})
	return s
}

// sees waits until a text is on the screen.
func (s *session) sees(text string) {
	s.Helper()
	s.eventually("the screen shows "+text, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.screen.String(), text)
	})
}

func (s *session) types(keys string) {
	s.Helper()
	if _, err := io.WriteString(s.keyboard, keys); err != nil {
		s.Fatalf("typing %q: %v", keys, err)
	}
}

func (s *session) ends(exit int) {
	s.Helper()
	<-s.ended
	if s.err != nil || s.exit != exit {
		s.Errorf("Run = %d, %v, want %d; the screen shows %q", s.exit, s.err, exit, s.screen.String())
	}
}

func runsAtATerminal(t *runtimeTest) {
	s := t.login(`test -t 0 && test -t 1 && test -t 2 && echo "at a $TERM, $HOP3_PROCESS"; stty size
		echo ready; read line; echo "read $line"; exit 3`)
	s.sees("at a xterm-256color, run\r\n")
	s.sees("40 120\r\n")
	s.sees("ready\r\n")
	s.types("hello\n")
	s.sees("read hello\r\n")
	s.ends(3)

	s = t.login(`trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done`)
	s.sees("ready")
	s.resizes <- hop3.WindowSize{Rows: 50, Columns: 132}
	s.sees("50 132")
	close(s.resizes)
	s.types("\x03")
	s.ends(128 + 2)
}

func passesOnWhatIsTyped(t *runtimeTest) {
	// Ctrl-C reaches who is in front, also when that is not the first.
	s := t.login(`trap 'echo interrupted; exit 7' INT; sh -c 'echo ready; exec sleep 600'; echo unreached`)
	s.sees("ready")
	s.types("\x03")
	s.ends(7)
	s.sees("interrupted")

	// The end of the caller's input is told, in the middle of a line too.
	for _, text := range []string{"one\ntwo\n", "one\ntwo", ""} {
		s = t.login(`stty -echo; echo ready; wc -c; echo over`)
		s.sees("ready")
		if text != "" {
			s.types(text)
		}
		s.keyboard.Close()
		s.ends(0)
		s.sees("over")
	}

	// A command that reads nothing is not held up by what is typed.
	s = t.login("stty -icanon; echo ready; sleep 0.3; exit 5")
	s.sees("ready")
	go io.WriteString(s.keyboard, strings.Repeat("x", 1<<20)) // ends when the reader is closed
	s.ends(5)
}

func endsATerminal(t *runtimeTest) {
	// What is left at the terminal is killed.
	s := t.login(`(trap '' HUP; echo "left $(exec sh -c 'echo $PPID')" ; exec sleep 600) & sleep 0.2; exit 4`)
	s.ends(4)
	// With its caller all of it ends.
	s = t.login("trap '' HUP INT TERM; echo ready; while :; do sleep 0.05; done")
	s.sees("ready")
	s.cancel()
	<-s.ended
	if s.err == nil {
		t.Errorf("Run returned no error")
	}
}
