package front

import (
	"os"

	"golang.org/x/sys/unix"
)

// A program that accepts connections before it has read its files would turn
// the first visitors away. It shares the listening sockets, so the kernel is
// told to take no new connection until it is ready: clients send their first
// packet again, after a second at the latest, and notice no more than that.
// Connections that are open go on.

// mute has the kernel drop what comes for the listening sockets. What it
// returns takes that back.
func mute(sockets []*os.File) (unmute func()) {
	var muted []int
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // of a packet, keep 0 bytes
	for _, socket := range sockets {
		fd := int(socket.Fd())
		// Where that is not possible (with Multipath TCP, which we do not open
		// sockets with, it is not), a few visitors are turned away.
		if unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]}) == nil {
			muted = append(muted, fd)
		}
	}
	return func() {
		for _, fd := range muted {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		}
	}
}

// listen takes back what a server muted that was killed meanwhile.
func (p *Proxy) listen() {
	public, err := p.o.Listeners.Public()
	if err != nil {
		return // there is nothing that could be muted
	}
	for _, socket := range public {
		_ = unix.SetsockoptInt(int(socket.Fd()), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // fails where there is none
		_ = socket.Close()                                                                  // a copy
	}
}
