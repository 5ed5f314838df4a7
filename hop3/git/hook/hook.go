// Package hook is git's pre-receive hook, and what it and the server say to each
// other. It is this program by another name.
//
// It imports little, so that it answers before the rest of a large program is
// initialized: every push waits for it.
package hook

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Name is the name under which git runs the executable as its hook.
const Name = "pre-receive"

// Git's call is answered here and not in a main, because a Caddy built by xcaddy
// has a main that does not know of it, and would accept every push.
func init() {
	if filepath.Base(os.Args[0]) == Name {
		os.Exit(Main())
	}
}

// Main is git's pre-receive hook: it tells the server of the push, relays
// what the server says to the pusher as it comes, and returns the exit code
// that accepts or refuses the push. It refuses when the server goes away.
func Main() int {
	if err := Run(os.Stdin, os.Stderr, os.Getenv); err != nil {
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

// Run is Main with its surroundings. Its error is for the pusher, unless the
// server has said it already.
func Run(stdin io.Reader, stderr io.Writer, getenv func(string) string) error {
	request, err := requestOf(stdin, getenv)
	if err != nil {
		return err
	}
	conn, err := dial(getenv(EnvSocket))
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
		case line == VerdictAccept+"\n":
			return nil
		case line == VerdictReject+"\n":
			return errRefused
		case line[0] == LineOutput:
			// One write a line, so that lines of other writers cannot get
			// in between. A pusher who does not listen still pushes.
			_, _ = io.WriteString(stderr, strings.TrimPrefix(line, string(LineOutput)))
		}
	}
}

// maxSocketPath is what fits into a sockaddr_un with its final NUL.
const maxSocketPath = 107

// dial connects to a unix socket, however long its path.
func dial(path string) (net.Conn, error) {
	short, release, err := ShortSocketPath(path)
	if err != nil {
		return nil, err
	}
	defer release()
	return net.Dial("unix", short)
}

// ShortSocketPath returns a path to the same socket that fits into an address:
// through a descriptor of its directory when need be. The short path is good
// until release.
func ShortSocketPath(path string) (short string, release func(), err error) {
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
