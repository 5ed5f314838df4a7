package supervisor

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// terminal is the side of a pseudo terminal that a person would sit at.
type terminal struct {
	file *os.File
	// midLine says that the last byte typed did not end a line: then the
	// first end of file only ends this.
	midLine atomic.Bool
}

// connectTerminal gives the command a terminal of its own, which it controls:
// what is typed goes to its foreground process group, and Ctrl-C reaches it.
func (o *oneOff) connectTerminal() (started, finish func(), err error) {
	t, tty, err := openTerminal(o.Terminal.Size)
	if err != nil {
		return nil, nil, err
	}
	if o.plan != nil && o.plan.UID != 0 {
		// Who logs in owns the terminal: programs open it again by its name.
		if err := tty.Chown(o.plan.UID, o.plan.GID); err != nil {
			return nil, nil, errors.Join(err, tty.Close(), t.file.Close())
		}
	}
	o.cmd.Stdin, o.cmd.Stdout, o.cmd.Stderr = tty, tty, tty
	o.cmd.SysProcAttr.Setctty, o.cmd.SysProcAttr.Ctty = true, 0

	ended, shown := make(chan struct{}), make(chan struct{})
	started = func() {
		_ = tty.Close()
		go func() { defer recoverReader(); t.resize(o.Terminal.Resizes, ended) }()
		go func() { defer recoverReader(); t.typed(o.Stdin) }()
		go func() { defer close(shown); defer recoverReader(); t.show(o.Stdout) }()
	}
	finish = func() {
		close(ended)
		if o.cmd.ProcessState != nil {
			select {
			case <-shown:
			case <-time.After(outputGrace): // whoever reads it is too slow
			}
		}
		_ = tty.Close()
		_ = t.file.Close()
	}
	return started, finish, nil
}

// Private

func openTerminal(size hop3.WindowSize) (*terminal, *os.File, error) {
	master, tty, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer master.Close()
	// A copy that does not block: reads and writes end when it is closed.
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, nil, errors.Join(err, tty.Close())
	}
	file := pollable(fd)
	if file == nil {
		return nil, nil, errors.Join(errors.New("the terminal cannot be polled"), tty.Close())
	}
	t := &terminal{file: file}
	if err := t.setSize(size); err != nil {
		return nil, nil, errors.Join(err, tty.Close(), file.Close())
	}
	return t, tty, nil
}

// show passes on what the command writes until no process has the terminal.
func (t *terminal) show(out io.Writer) {
	if out == nil {
		out = io.Discard
	}
	_, err := io.Copy(out, t.file)
	// A caller who takes no more must not make the command wait for ever.
	if err != nil && !errors.Is(err, unix.EIO) {
		_, _ = io.Copy(io.Discard, t.file)
	}
}

// typed passes on what the caller types. When that has an end, it was no
// person at a terminal: the command is told as a terminal tells it.
func (t *terminal) typed(in io.Reader) {
	if in != nil {
		if _, err := io.Copy(t, in); err != nil {
			return
		}
	}
	termios, err := t.attributes()
	if err != nil || termios.Lflag&unix.ICANON == 0 {
		return // a program that takes every key as it comes knows no end of file
	}
	eof := []byte{termios.Cc[unix.VEOF]}
	if t.midLine.Load() {
		eof = append(eof, eof[0])
	}
	_, _ = t.file.Write(eof)
}

// Write types b.
func (t *terminal) Write(b []byte) (int, error) {
	if len(b) > 0 {
		last := b[len(b)-1]
		t.midLine.Store(last != '\n' && last != '\r')
	}
	return t.file.Write(b)
}

// resize passes on new sizes until there are no more, or the command has ended.
func (t *terminal) resize(sizes <-chan hop3.WindowSize, ended <-chan struct{}) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			_ = t.setSize(size) // fails when the terminal was closed just now
		case <-ended:
			return
		}
	}
}

// setSize also sends SIGWINCH to the foreground process group.
func (t *terminal) setSize(size hop3.WindowSize) error {
	return t.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	})
}

func (t *terminal) attributes() (termios *unix.Termios, err error) {
	err = t.control(func(fd int) error {
		termios, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return termios, err
}

func (t *terminal) control(do func(fd int) error) error {
	conn, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = do(int(fd)) }); err != nil {
		return err
	}
	return result
}

// recoverReader keeps a panic of somebody else's Reader or Writer from ending
// the server.
func recoverReader() { _ = recover() }
