package ready_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/ready"
)

func TestPortHolder(t *testing.T) {
	prober := &ready.Prober{}
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		tcp := hop3.Port{Number: l.Addr().(*net.TCPAddr).Port, Protocol: "tcp"}
		if holder, err := prober.PortHolder(tcp); err != nil || !strings.Contains(holder, "ready.test") {
			t.Errorf("%s is held by %q, %v", address, holder, err)
		}
		l.Close()
		if holder, err := prober.PortHolder(tcp); err != nil || holder != "" {
			t.Errorf("%s is held by %q, %v, after its end", address, holder, err)
		}
	}
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := hop3.Port{Number: c.LocalAddr().(*net.UDPAddr).Port, Protocol: "udp"}
	if holder, err := prober.PortHolder(udp); err != nil || holder == "" {
		t.Errorf("%s is held by %q, %v", udp, holder, err)
	}
	c.Close()
	if holder, err := prober.PortHolder(udp); err != nil || holder != "" {
		t.Errorf("%s is held by %q, %v, after its end", udp, holder, err)
	}
}

func TestLowestPort(t *testing.T) {
	prober := &ready.Prober{}
	if n := prober.LowestPort(true); n < 0 || n > 1<<16 {
		t.Errorf("isolated, the lowest port is %d", n)
	}
	if n := prober.LowestPort(false); os.Geteuid() == 0 && n != 1 {
		t.Errorf("as root, the lowest port is %d", n)
	}
}
