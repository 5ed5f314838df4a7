package expose

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

var db = hop3.AddonID{Type: "postgres", Name: "db"}

// echo is an addon that says back what it hears, until the other side has said
// all, and then "end".
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
				_, _ = io.WriteString(conn, "end")
			}()
		}
	}()
	return l.Addr().String()
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func open(t *testing.T, g *Gate, target, source string) int {
	t.Helper()
	sources, err := hop3.ExposureSources(source)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	if err := g.Open(db, hop3.OpenPort{Port: port, Target: target, Sources: sources}); err != nil {
		t.Fatal(err)
	}
	return port
}

func dial(t *testing.T, port int) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}

func TestGate_PassesBothDirectionsOn(t *testing.T) {
	g := &Gate{}
	defer g.Shut()
	conn := dial(t, open(t, g, echo(t), "127.0.0.0/8, ::1"))
	sent := strings.Repeat("0123456789", 100_000)
	go func() {
		_, _ = io.WriteString(conn, sent)
		_ = conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != sent+"end" {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

func TestGate_RefusesOtherNetworks(t *testing.T) {
	g := &Gate{}
	defer g.Shut()
	conn := dial(t, open(t, g, echo(t), "203.0.113.0/24"))
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("it says %q, %v", got, err)
	}
}

func TestGate_ClosingEndsConnections(t *testing.T) {
	g := &Gate{}
	defer g.Shut()
	port := open(t, g, echo(t), hop3.SourceAny)
	conn := dial(t, port)
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	g.Close(db)
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%v", err)
	}
	if _, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second); err == nil {
		t.Error("the port is open")
	}
	g.Close(db) // again
}

func TestGate_PortsThatAreTaken(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := &Gate{}
	defer g.Shut()
	err = g.Open(db, hop3.OpenPort{Port: l.Addr().(*net.TCPAddr).Port, Sources: []netip.Prefix{}})
	if hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("%v", err)
	}
}

func TestSources(t *testing.T) {
	for _, bad := range []string{"", "x", "10.0.0.0/33", "any,10.0.0.1"} {
		if _, err := hop3.ExposureSources(bad); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
