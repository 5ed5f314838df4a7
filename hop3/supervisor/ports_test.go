package supervisor

import (
	"net"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestPortsInUseAreNotLeased(t *testing.T) {
	for _, listen := range [][2]string{{"tcp4", "127.0.0.1:0"}, {"tcp4", "0.0.0.0:0"}, {"tcp", ":0"}} {
		l, err := net.Listen(listen[0], listen[1])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		p := newPorts(port, port)
		if got, err := p.lease("a", 0); hop3.CodeOf(err) != hop3.CodeUnavailable {
			t.Errorf("%v: lease = %d, %v", listen, got, err)
		}
		l.Close()
		if got, err := p.lease("a", 0); err != nil || got != port {
			t.Errorf("%v: after Close, lease = %d, %v", listen, got, err)
		}
	}
}

func TestPortsAreLeasedOnce(t *testing.T) {
	p := newPorts(28000, 28009)
	leases := make(map[int]string)
	for _, marker := range []string{"a", "b", "c", "d"} {
		port, err := p.lease(marker, 0)
		if err != nil {
			t.Fatal(err)
		}
		if leases[port] != "" {
			t.Errorf("port %d was leased to %s and %s", port, leases[port], marker)
		}
		leases[port] = marker
	}
	for port, marker := range leases {
		if got, err := p.lease(marker, port); err != nil || got != port {
			t.Errorf("%s had %d and now has %d, %v", marker, port, got, err)
		}
		if got, err := p.lease("another", port); err != nil || got == port {
			t.Errorf("another got %s's port %d, %v", marker, got, err)
		}
		p.release(port, "another") // not its own
		p.release(port, marker)
	}
}
