package caddymodules

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/front"
	"github.com/abilian/hop3/hop3/hop3test"
	_ "github.com/abilian/hop3/hop3/nginx"
	_ "github.com/abilian/hop3/hop3/traefik"
)

// TestProxies runs the contract of a proxy against each: our own Caddy, and the
// real nginx and Traefik in front of it.
func TestProxies(t *testing.T) {
	for _, name := range []string{"caddy", "nginx", "traefik"} {
		t.Run(name, func(t *testing.T) {
			s := startFronted(t, name)
			status := s.front.Status()
			if !status.Running || status.Trouble != "" {
				t.Fatalf("%s does not run: %s", name, status.Trouble)
			}
			hop3test.Proxy(t, hop3test.ProxyServer{
				Proxy: s.front, HTTP: net.JoinHostPort(s.address, strconv.Itoa(s.options.HTTPPort)),
				HTTPS: net.JoinHostPort(s.address, strconv.Itoa(s.options.HTTPSPort)),
			})
		})
	}
}

// TestAProxyThatDies is brought back, and nobody is turned away meanwhile: the
// sockets are ours.
func TestAProxyThatDies(t *testing.T) {
	s := startFronted(t, "nginx")
	route := upstreams("blog", 1, "blog.test", backend(t, says("here")))
	if err := s.front.Set(t.Context(), route); err != nil {
		t.Fatal(err)
	}
	stop := clients(s.server, 2)
	before := s.front.Status().PID
	// Its workers first, or they would go on without it.
	if err := syscall.Kill(-before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := poll(ctx, func() bool { st := s.front.Status(); return st.Running && st.PID != before }); err != nil {
		t.Fatal("it was not brought back")
	}
	stop() // requests that it had when it died are lost, the others are not
	if text := s.get("http://blog.test/").text; text != "here" {
		t.Errorf("afterwards the app answers %q", text)
	}
}

type fronted struct {
	*server
	front *front.Proxy
}

// startFronted starts a server whose sockets are open before it, as `hop3 run`
// does, with a proxy in front.
func startFronted(t *testing.T, name string) *fronted {
	t.Helper()
	binary := ""
	if name == "traefik" {
		if binary = hop3test.TraefikBinary(t); binary == "" {
			t.Skip("this needs Traefik, which tests/run builds and names in TRAEFIK_BIN")
		}
	}
	if name == "nginx" {
		if _, err := os.Stat("/usr/sbin/nginx"); err != nil {
			needs(t, "nginx")
		}
	}
	s := startServer(t, func(o *BaseOptions) {
		o.Listeners = map[string]string{
			"http":      openSocket(t, "tcp", fmt.Sprintf("%s:%d", o.BindHost, o.HTTPPort)),
			"https":     openSocket(t, "tcp", fmt.Sprintf("%s:%d", o.BindHost, o.HTTPSPort)),
			"front":     openSocket(t, "unix", filepath.Join(o.Home, "front.sock")),
			"front-tcp": openSocket(t, "tcp", "127.0.0.1:0"),
		}
		o.ACME.SelfSigned, o.Fronted = true, name != "caddy"
		settings := map[string]string{"ssh-port": "off", "proxy": name, "traefik-bin": binary}
		if binary == "" {
			delete(settings, "traefik-bin")
		}
		app, err := json.Marshal(App{Home: o.Home, Settings: settings, Sockets: o.Listeners})
		if err != nil {
			t.Fatal(err)
		}
		o.App = app
	})
	app, err := caddy.ActiveContext().App("hop3")
	if err != nil {
		t.Fatal(err)
	}
	made := &fronted{server: s, front: app.(*App).core.front}
	t.Cleanup(func() { made.front.End(10 * time.Second) })
	return made
}

// needs skips a test for want of a program, which CI may not want.
func needs(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("this needs " + what)
	}
	t.Skip("this needs " + what)
}

// openSocket opens a socket for as long as the test's process, and returns it
// as Caddy writes it: Caddy remembers its number.
func openSocket(t *testing.T, network, address string) string {
	t.Helper()
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // as `hop3 run` opens them
	l, err := plain.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		if err := os.Chmod(address, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = l.Close() }() // a copy stays
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := 0
	var dupErr error
	if err := raw.Control(func(own uintptr) { fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 3) }); err != nil || dupErr != nil {
		t.Fatal(err, dupErr)
	}
	return "fd/" + strconv.Itoa(fd)
}

var _ hop3.ProxySwitch = (*front.Proxy)(nil)
