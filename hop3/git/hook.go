package git

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// HookName is the name under which git runs the executable as its hook. A main
// that finds it in the base name of os.Args[0] calls HookMain before anything
// else.
const HookName = "pre-receive"

// HookMain is git's pre-receive hook: it tells the server of the push, relays
// what the server says to the pusher as it comes, and returns the exit code
// that accepts or refuses the push. It refuses when the server goes away.
func HookMain() int {
	if err := runHook(os.Stdin, os.Stderr, os.Getenv); err != nil {
		if err != errRefused {
			fmt.Fprintln(os.Stderr, err)
		}
		return 1
	}
	return 0
}

type hookError string

func (e hookError) Error() string { return string(e) }

const (
	errRefused    hookError = "refused"
	errNoServer   hookError = "The push was not taken: the Hop3 server is not running."
	errServerGone hookError = "The push was not taken: the Hop3 server went away. Push again to retry."
)

func runHook(stdin io.Reader, stderr io.Writer, getenv func(string) string) error {
	request, err := hookRequestOf(stdin, getenv)
	if err != nil {
		return err
	}
	conn, err := dialSocket(getenv(envSocket))
	if err != nil {
		return errNoServer
	}
	defer conn.Close()
	if err := request.encode(conn); err != nil {
		return errServerGone
	}
	return relayAnswer(conn, stderr)
}

// relayAnswer copies the server's output until its verdict.
func relayAnswer(conn io.Reader, stderr io.Writer) error {
	answer := bufio.NewReader(conn)
	for {
		line, err := answer.ReadString('\n')
		switch {
		case err != nil:
			return errServerGone
		case line == verdictAccept+"\n":
			return nil
		case line == verdictReject+"\n":
			return errRefused
		case line[0] == lineOutput:
			// One write a line, so that lines of other writers cannot get
			// in between. A pusher who does not listen still pushes.
			_, _ = io.WriteString(stderr, strings.TrimPrefix(line, string(lineOutput)))
		}
	}
}

// maxSocketPath is what fits into a sockaddr_un with its final NUL.
const maxSocketPath = 107

// dialSocket connects to a unix socket, however long its path.
func dialSocket(path string) (net.Conn, error) {
	short, release, err := shortSocketPath(path)
	if err != nil {
		return nil, err
	}
	defer release()
	return net.Dial("unix", short)
}

// shortSocketPath returns a path to the same socket that fits into an address:
// through a descriptor of its directory when need be. The short path is good
// until release.
func shortSocketPath(path string) (short string, release func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return short, func() { dir.Close() }, nil
}
