package front

import (
	"os"
	"time"

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

// Times of a program's end: settle is how long what it has just accepted may
// take to be under way, closing how long its sockets to be closed.
const (
	settle  = 100 * time.Millisecond
	closing = 2 * time.Second
)

// retire has a program end once its requests are done. One that accepts early
// is as hasty at its end, and forgets what it has accepted in that moment: so
// it accepts nothing then.
func (p *Proxy) retire(old *standing) {
	public, err := p.o.Listeners.Public()
	if err != nil || !old.program.AcceptsEarly() {
		old.process.end(old.program)
		return
	}
	var sockets []*os.File
	for _, socket := range public {
		sockets = append(sockets, socket)
		defer func() { _ = socket.Close() }() // a copy
	}
	defer mute(sockets)()
	time.Sleep(settle)
	old.process.end(old.program)
	deadline := time.Now().Add(closing)
	for old.process.alive() && time.Now().Before(deadline) {
		if !old.process.has(old.place.Sockets) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// has reports whether the process still listens at one of the sockets.
func (p *process) has(sockets []Socket) bool {
	for _, s := range sockets {
		if fd, err := p.listening(s.Address); err == nil {
			_ = unix.Close(fd)
			return true
		}
	}
	return false
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
