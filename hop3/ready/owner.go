package ready

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/procfs"
)

// instanceVariable is in the environment of all processes of an instance.
const instanceVariable = "HOP3_INSTANCE"

// Owner returns an error unless the upstream is bound by the process pid, one
// of its session, one that descends from it, or one of its user that carries
// the same HOP3_INSTANCE. Else whoever came first to a port would get the app's
// requests.
func (p *Prober) Owner(upstream string, pid int) error {
	sockets, err := listening(upstream)
	if err != nil {
		return err
	}
	if len(sockets) == 0 {
		return fmt.Errorf("nothing listens on %s", upstream)
	}
	all, err := procfs.All()
	if err != nil {
		return fmt.Errorf("listing the processes: %w", err)
	}
	family := members(all, pid)
	owned := make(map[uint64]bool)
	for _, m := range family {
		for inode := range procfs.Sockets(m.PID) {
			owned[inode] = true
		}
	}
	for _, inode := range sockets {
		if !owned[inode] {
			return fmt.Errorf("%s is bound by %s, not by the app", upstream, holder(all, inode))
		}
	}
	return nil
}

// engineProcesses are the programs by which container engines hold the ports
// that lead into containers.
var engineProcesses = []string{"docker-proxy", "dockerd", "rootlesskit", "rootlessport"}

// engineOwns returns an error unless an upstream that answers is bound by a
// container engine, which gives each port to one container. Programs of apps
// can have the same name, but not the same user.
func engineOwns(upstream string) error {
	sockets, err := listening(upstream)
	if err != nil {
		return err
	}
	if len(sockets) == 0 {
		return nil // the engine's rules in the kernel lead into the container
	}
	all, err := procfs.All()
	if err != nil {
		return fmt.Errorf("listing the processes: %w", err)
	}
	owned := make(map[uint64]bool)
	for _, p := range all {
		if user, ok := procfs.User(p.PID); ok && (user == 0 || user == os.Geteuid()) && slices.Contains(engineProcesses, p.Name) {
			for inode := range procfs.Sockets(p.PID) {
				owned[inode] = true
			}
		}
	}
	for _, inode := range sockets {
		if !owned[inode] {
			return fmt.Errorf("%s is bound by %s, not by the app's container", upstream, holder(all, inode))
		}
	}
	return nil
}

// BoundPorts returns the TCP ports that the process pid, or another of its
// instance, listens on.
func BoundPorts(pid int) ([]int, error) {
	all, err := procfs.All()
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	listeners, err := procfs.Listeners()
	if err != nil {
		return nil, err
	}
	port := make(map[uint64]int, len(listeners))
	for _, l := range listeners {
		port[l.Inode] = int(l.Addr.Port())
	}
	var bound []int
	for _, m := range members(all, pid) {
		for inode := range procfs.Sockets(m.PID) {
			if n, ok := port[inode]; ok {
				bound = append(bound, n)
			}
		}
	}
	slices.Sort(bound)
	return slices.Compact(bound), nil
}

// Private

// listening returns the inodes of the sockets that connections to the upstream
// can reach.
func listening(upstream string) ([]uint64, error) {
	if file, ok := strings.CutPrefix(upstream, "unix/"); ok {
		inode, ok, err := procfs.UnixListener(file)
		if err != nil || !ok {
			return nil, err
		}
		return []uint64{inode}, nil
	}
	addr, err := netip.ParseAddrPort(upstream)
	if err != nil {
		return nil, fmt.Errorf("%q is no upstream: %w", upstream, err)
	}
	all, err := procfs.Listeners()
	if err != nil {
		return nil, err
	}
	// The kernel prefers a socket bound to the very address, then one of the
	// same family.
	var exact, sameFamily, other []uint64
	for _, l := range all {
		switch ip := l.Addr.Addr(); {
		case l.Addr.Port() != addr.Port():
		case ip == addr.Addr():
			exact = append(exact, l.Inode)
		case ip.IsUnspecified() && ip.Is4() == addr.Addr().Is4():
			sameFamily = append(sameFamily, l.Inode)
		case ip.IsUnspecified() && ip.Is6():
			other = append(other, l.Inode)
		}
	}
	for _, found := range [][]uint64{exact, sameFamily} {
		if len(found) > 0 {
			return found, nil
		}
	}
	return other, nil
}

// members returns the processes of the instance whose main process is pid.
func members(all []procfs.Process, pid int) []procfs.Process {
	marker, marked := procfs.Variable(pid, instanceVariable)
	user, known := procfs.User(pid)
	marked = marked && known
	return procfs.Descendants(all, func(p procfs.Process) bool {
		if p.PID == pid || p.Session == pid {
			return true
		}
		if !marked {
			return false
		}
		// Another app can carry the marker too, but not as the same user.
		m, ok := procfs.Variable(p.PID, instanceVariable)
		return ok && m == marker && isUser(p.PID, user)
	})
}

func isUser(pid, user int) bool {
	found, ok := procfs.User(pid)
	return ok && found == user
}

// holder names the process that holds a socket.
func holder(all []procfs.Process, inode uint64) string {
	for _, p := range all {
		if procfs.Sockets(p.PID)[inode] {
			return fmt.Sprintf("another process, %s (pid %d)", p.Name, p.PID)
		}
	}
	return "another process"
}
