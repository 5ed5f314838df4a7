package hop3cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/front"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// socket is an open socket that the server listens on. Its descriptor is ours
// for as long as the process lives, and handed to the image after it: what
// serves works on copies. Connections that nobody accepts meanwhile wait in the
// kernel.
type socket struct {
	Name    string `json:"name"`
	FD      int    `json:"fd"`
	Address string `json:"address,omitempty"` // as configured; "" for one that systemd opened
}

// sockets are a server's open sockets, one of each name.
type sockets []socket

// listener is something that a configuration wants to listen on.
type listener struct {
	name, what, setting string
	network, host       string
	port                int
}

func (l listener) address() string {
	if l.network == "unix" {
		return l.host
	}
	return net.JoinHostPort(l.host, strconv.Itoa(l.port))
}

// listenersOf returns what a configuration wants to listen on.
func listenersOf(c *serverconfig.Config) []listener {
	var wanted []listener
	for _, l := range []listener{
		{"http", "HTTP", "http-port", "tcp", c.Bind, c.HTTPPort},
		{"https", "HTTPS", "https-port", "tcp", c.Bind, c.HTTPSPort},
		{"http3", "HTTP/3", "https-port", "udp", c.Bind, http3Port(c)},
		{"ssh", "SSH", "ssh-port", "tcp", c.Bind, c.SSHPort},
	} {
		if l.port != 0 {
			wanted = append(wanted, l)
		}
	}
	return append(wanted,
		listener{"api", "the API", "port", "tcp", c.Host, c.Port}, // port 0: any free one
		listener{"front", "a proxy in front", "home", "unix", filepath.Join(c.Home, "front.sock"), 0},
		listener{"front-tcp", "a proxy in front", "port", "tcp", "127.0.0.1", 0})
}

// http3Port is the port for HTTP/3, 0 for none: no proxy in front has it.
func http3Port(c *serverconfig.Config) int {
	if c.Proxy != front.Own {
		return 0
	}
	return c.HTTPSPort
}

// open returns the sockets a configuration wants: those of s that fit, and new
// ones. When one cannot be opened, s is all there is, as before.
func (s sockets) open(c *serverconfig.Config) (sockets, error) {
	var all, opened sockets
	for _, want := range listenersOf(c) {
		if have, ok := s.find(want); ok {
			all = append(all, have)
			continue
		}
		fd, err := want.open()
		if errors.Is(err, unix.EADDRINUSE) && want.network == "tcp" {
			// A proxy in front may have it, that a server left which was killed.
			if taken, ok := front.Reclaim(c.Home, want.address()); ok {
				fd, err = taken, nil
			} else {
				fd, err = want.open()
			}
		}
		if err != nil {
			return nil, errors.Join(hop3.Errorf(hop3.CodeUnavailable, "port %d, for %s, cannot be used: %s", want.port, want.what, reason(err)).
				WithHint("Stop what uses it, or choose another one with --%s.", want.setting), opened.close())
		}
		new := socket{Name: want.name, FD: fd, Address: want.address()}
		all, opened = append(all, new), append(opened, new)
	}
	return all, nil
}

// find returns the socket for a listener: the one of its name, unless we
// opened that for another address.
func (s sockets) find(want listener) (socket, bool) {
	for _, have := range s {
		if have.Name == want.name && (have.Address == "" || have.Address == want.address()) {
			return have, true
		}
	}
	return socket{}, false
}

// closeBut closes the sockets that are not in kept.
func (s sockets) closeBut(kept sockets) error {
	var err error
next:
	for _, have := range s {
		for _, k := range kept {
			if k.FD == have.FD {
				continue next
			}
		}
		err = errors.Join(err, unix.Close(have.FD))
	}
	return err
}

func (s sockets) close() error { return s.closeBut(nil) }

// systemd reports whether systemd holds sockets too, so that connections are
// accepted also while no server runs.
func (s sockets) systemd() bool {
	for _, have := range s {
		if have.Address == "" {
			return true
		}
	}
	return false
}

// inherit makes the descriptors survive an exec, or not. Only the process
// image that comes next is to have them, no child.
func (s sockets) inherit(yes bool) error {
	flag := unix.FD_CLOEXEC
	if yes {
		flag = 0
	}
	for _, have := range s {
		if _, err := unix.FcntlInt(uintptr(have.FD), unix.F_SETFD, flag); err != nil {
			return fmt.Errorf("handing on the socket for %s: %w", have.Name, err)
		}
	}
	return nil
}

// caddy names the sockets as Caddy does.
func (s sockets) caddy() map[string]string {
	names := map[string]string{}
	for _, have := range s {
		network := "fd/"
		if have.Name == "http3" {
			network = "fdgram/"
		}
		names[have.Name] = network + strconv.Itoa(have.FD)
	}
	return names
}

// open opens a socket and returns a descriptor of it.
func (l listener) open() (fd int, err error) {
	var conn syscall.Conn
	switch l.network {
	case "unix":
		return listenUnix(l.host)
	case "udp":
		made, err := net.ListenPacket(l.network, l.address())
		if err != nil {
			return 0, err
		}
		defer func() { _ = made.Close() }()
		conn = made.(*net.UDPConn)
	default:
		var plain net.ListenConfig
		plain.SetMultipathTCP(false) // it knows no filters; see hop3/front
		made, err := plain.Listen(context.Background(), l.network, l.address())
		if err != nil {
			return 0, err
		}
		defer func() { _ = made.Close() }()
		conn = made.(*net.TCPListener)
	}
	return copyOf(conn)
}

// copyOf returns a descriptor of the socket of a connection or listener.
func copyOf(conn syscall.Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var dupErr error
	if err := raw.Control(func(original uintptr) { fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return 0, err
	}
	return fd, dupErr
}

// listenUnix listens on a socket that every user of the machine can reach: the
// workers of a proxy in front are not our user's. What comes by it must prove
// that it is from there. A file that an earlier server left is nobody's: the
// home is locked.
func listenUnix(path string) (fd int, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	made, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return 0, err
	}
	made.SetUnlinkOnClose(false)
	defer func() { _ = made.Close() }() // a copy of it stays
	if err := os.Chmod(path, 0o666); err != nil {
		return 0, err
	}
	return copyOf(made)
}

// firstFD is the first descriptor of systemd's.
const firstFD = 3

// fromSystemd returns the sockets that systemd has opened for this process;
// see sd_listen_fds(3). A socket is what its FileDescriptorName says, http,
// https, http3, ssh or api; one that has another name is what listens on its
// port according to the configuration. Sockets that are neither are closed.
func fromSystemd(lookup func(string) string, pid int, c *serverconfig.Config) (sockets, error) {
	if lookup("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(lookup("LISTEN_FDS"))
	if err != nil || n < 0 || n > 100 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "LISTEN_FDS is %q, which is no number of sockets", lookup("LISTEN_FDS"))
	}
	names := strings.Split(lookup("LISTEN_FDNAMES"), ":")
	var s sockets
	for i := range n {
		fd := firstFD + i
		unix.CloseOnExec(fd)
		given := ""
		if i < len(names) {
			given = names[i]
		}
		name := nameSocket(fd, given, c)
		if name == "" || s.has(name) {
			if err := unix.Close(fd); err != nil {
				return nil, fmt.Errorf("closing a socket of systemd's: %w", err)
			}
			continue
		}
		s = append(s, socket{Name: name, FD: fd})
	}
	return s, nil
}

func (s sockets) has(name string) bool {
	for _, have := range s {
		if have.Name == name {
			return true
		}
	}
	return false
}

// nameSocket returns what a socket is for, "" when it is for nothing here.
func nameSocket(fd int, given string, c *serverconfig.Config) string {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return "" // a pipe, or nothing
	}
	network := map[int]string{unix.SOCK_STREAM: "tcp", unix.SOCK_DGRAM: "udp"}[kind]
	if given == "https" && network == "udp" {
		given = "http3"
	}
	port := portOf(fd)
	for _, l := range listenersOf(c) {
		if l.network == network && l.name == given {
			return l.name
		}
	}
	for _, l := range listenersOf(c) {
		if l.network == network && l.port == port && port != 0 {
			return l.name
		}
	}
	return ""
}

func portOf(fd int) int {
	address, err := unix.Getsockname(fd)
	if err != nil {
		return 0
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}

// unsetSystemd keeps the variables of systemd's protocols from the programs we
// start.
func unsetSystemd() {
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"} {
		_ = os.Unsetenv(name) // fails for names only that cannot be
	}
}
