package machine

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"time"
)

// ports are those of this computer that lead into the machine.
type ports struct{ agent, http, https, http3, ssh int }

// forwarding is a port that leads to one of the machine's.
type forwarding struct {
	protocol string
	inside   int
	outside  *int
}

func (p *ports) all() []forwarding {
	return []forwarding{
		{"tcp", agentPort, &p.agent}, {"tcp", 80, &p.http}, {"tcp", 443, &p.https}, {"udp", 443, &p.http3}, {"tcp", 2222, &p.ssh},
	}
}

// forward is the option that makes QEMU open the ports, of its own choice: none
// that we found free need still be free then. restrict=on is not among them, as
// it loses the answers to UDP. The machine has no route to anywhere else.
func (p *ports) forward() (options string) {
	for _, f := range p.all() {
		options += fmt.Sprintf(",hostfwd=%s:127.0.0.1:0-:%d", f.protocol, f.inside)
	}
	return options
}

// read asks QEMU, which connects to the monitor, what it has chosen.
func (p *ports) read(monitor net.Listener) error {
	deadline := time.Now().Add(time.Minute)
	if err := monitor.(*net.UnixListener).SetDeadline(deadline); err != nil {
		return err
	}
	conn, err := monitor.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "info usernet\n"); err != nil {
		return err
	}
	said, part := "", make([]byte, 4096)
	for !p.find(said) {
		n, err := conn.Read(part)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
		said += string(part[:n])
	}
	return nil
}

// find finds the ports in the monitor's list, and reports whether all are there.
func (p *ports) find(list string) bool {
	for _, f := range p.all() {
		// Protocol[State] FD Address Port Address Port
		line := regexp.MustCompile(fmt.Sprintf(`(?im)^ *%s\[HOST_FORWARD\] +\d+ +\S+ +(\d+) +\S+ +%d `, f.protocol, f.inside))
		found := line.FindStringSubmatch(list)
		if found == nil {
			return false
		}
		var err error
		if *f.outside, err = strconv.Atoi(found[1]); err != nil {
			return false
		}
	}
	return true
}
