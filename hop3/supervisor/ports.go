package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
)

// ports leases the ports of a range to instances. A lease is kept by its
// marker, so an instance that is started again gets the same port.
type ports struct {
	min, max int

	mu     sync.Mutex
	leased map[int]string // port -> marker
}

func newPorts(min, max int) *ports {
	return &ports{min: min, max: max, leased: make(map[int]string)}
}

// keep leases a port that a state file names.
func (p *ports) keep(port int, marker string) {
	if port == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leased[port] = marker
}

// lease returns a port nobody has: wanted, when it is free, else one at
// random, so that a late request for an instance that is gone does not reach
// the next one.
func (p *ports) lease(marker string, wanted int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wanted != 0 {
		if owner := p.leased[wanted]; (owner == "" || owner == marker) && free(wanted) {
			p.leased[wanted] = marker
			return wanted, nil
		}
		if p.leased[wanted] == marker {
			delete(p.leased, wanted)
		}
	}
	n := p.max - p.min + 1
	first := rand.IntN(n)
	for i := range n {
		port := p.min + (first+i)%n
		if p.leased[port] == "" && free(port) {
			p.leased[port] = marker
			return port, nil
		}
	}
	return 0, hop3.Errorf(hop3.CodeUnavailable, "no port between %d and %d is free", p.min, p.max).
		WithHint("Stop apps that are not needed, or give the server a larger range.")
}

// release ends a lease.
func (p *ports) release(port int, marker string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leased[port] == marker {
		delete(p.leased, port)
	}
}

// free reports whether nothing listens on a port, whatever the address: it
// binds the wildcard address of IPv6, which covers IPv4, and never listens.
func free(port int) bool {
	err := tryBind(unix.AF_INET6, &unix.SockaddrInet6{Port: port})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		err = tryBind(unix.AF_INET, &unix.SockaddrInet4{Port: port})
	}
	return err == nil
}

func tryBind(family int, addr unix.Sockaddr) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer unix.Close(fd)
	// As servers do: connections of the last run that linger are no obstacle.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return err
		}
	}
	return unix.Bind(fd, addr)
}
