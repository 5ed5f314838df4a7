package ready

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
)

// PortHolder says what holds a port of the host, on whichever address; "" when
// nothing does. A port that this process may not try is taken for free.
func (p *Prober) PortHolder(port hop3.Port) (string, error) {
	err := tryBind(unix.AF_INET6, port)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		err = tryBind(unix.AF_INET, port)
	}
	switch {
	case err == nil || errors.Is(err, unix.EACCES):
		return "", nil
	case !errors.Is(err, unix.EADDRINUSE):
		return "", fmt.Errorf("trying port %s: %w", port, err)
	}
	if port.Protocol == "tcp" {
		listeners, err := procfs.Listeners()
		if err != nil {
			return "", err
		}
		all, err := procfs.All()
		if err != nil {
			return "", fmt.Errorf("listing the processes: %w", err)
		}
		for _, l := range listeners {
			if int(l.Addr.Port()) == port.Number {
				return holder(all, l.Inode), nil
			}
		}
	}
	return "another program", nil
}

// tryBind binds a port on all addresses and lets go of it; it never listens.
func tryBind(family int, port hop3.Port) error {
	kind := unix.SOCK_STREAM
	if port.Protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if port.Protocol != "udp" {
		// As servers do: connections of the last run that linger are no obstacle.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	if family == unix.AF_INET {
		return unix.Bind(fd, &unix.SockaddrInet4{Port: port.Number})
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Port: port.Number})
}

// unprivileged is where the kernel says from which port on anybody may listen.
const unprivileged = "/proc/sys/net/ipv4/ip_unprivileged_port_start"

// LowestPort is the lowest port that an app may listen on. Isolated, it never
// has more rights than the kernel gives to anybody.
func (p *Prober) LowestPort(isolated bool) int {
	if !isolated && os.Geteuid() == 0 {
		return 1
	}
	text, err := os.ReadFile(unprivileged)
	if err != nil {
		return 1024
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 1024
	}
	return n
}
