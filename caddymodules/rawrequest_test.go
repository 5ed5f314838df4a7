package caddymodules

import (
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"google.golang.org/grpc/status"
)

// raw sends what no client would send, and returns all that comes back until
// the server closes the connection.
func (s *server) raw(request string) string { return s.rawFor(request, 5*time.Second) }

// rawFor is raw that waits no longer.
func (s *server) rawFor(request string, wait time.Duration) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(s.address, strconv.Itoa(s.options.HTTPPort)))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		s.t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // the deadline, or a reset, ends what there is
	return string(answer)
}

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }

func grpcCode(err error) string { return status.Code(err).String() }
