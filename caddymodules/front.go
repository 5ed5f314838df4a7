package caddymodules

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/certs"
	"github.com/abilian/hop3/hop3/front"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// Front is the handler http.handlers.hop3_front of the server that listens for
// the program in front. It turns a request into what it would be had the
// client come to us, and refuses those of anybody else.
type Front struct {
	core *core
}

// CaddyModule describes the module.
func (*Front) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.hop3_front", New: func() caddy.Module { return new(Front) }}
}

// Provision finds the server.
func (f *Front) Provision(ctx caddy.Context) error {
	made, err := ctx.App("hop3")
	if err != nil {
		return fmt.Errorf("finding the app hop3: %w", err)
	}
	app, ok := made.(*App)
	if !ok {
		return fmt.Errorf("the hop3 app is a %T", made)
	}
	f.core = app.core
	return nil
}

// ServeHTTP believes what the program in front says of the client.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	secret := r.Header.Get(front.SecretHeader)
	delete(r.Header, front.SecretHeader)
	if subtle.ConstantTimeCompare([]byte(secret), []byte(frontSecret(f.core.config))) != 1 {
		return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("a request that is not from the proxy in front"))
	}
	client := r.Header.Get("X-Forwarded-For")
	if net.ParseIP(client) == nil {
		return caddyhttp.Error(http.StatusBadRequest, fmt.Errorf("the proxy in front does not say who the client is"))
	}
	r.RemoteAddr = net.JoinHostPort(client, "0")
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, client)
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, false)
	if r.Header.Get("X-Forwarded-Proto") == "https" {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: hostOnly(r.Host)}
	}
	// Caddy makes them anew from what we have just said.
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip"} {
		delete(r.Header, name)
	}
	return next.ServeHTTP(w, r)
}

// frontSecret is what proves that a request is from the program in front. It is
// the same after each start: the program may have outlived the server.
func frontSecret(c *serverconfig.Config) string {
	mac := hmac.New(sha256.New, c.SecretKey)
	mac.Write([]byte("the proxy in front"))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// publicSockets are the sockets that the program in front gets copies of.
type publicSockets struct {
	gate    *gate
	sockets map[string]string // as Caddy writes them, by name
}

// Public returns a copy of each.
func (p *publicSockets) Public() (map[string]*os.File, error) {
	copies := map[string]*os.File{}
	for _, name := range []string{"http", "https"} {
		address, open := p.sockets[name]
		if !open {
			continue
		}
		file, err := copySocket(address)
		if err != nil {
			for _, made := range copies {
				_ = made.Close()
			}
			return nil, fmt.Errorf("copying the socket for %s: %w", name, err)
		}
		copies[name] = file
	}
	if len(copies) == 0 {
		return nil, hop3.Errorf(hop3.CodeConflict, "another proxy needs the public ports, and this server has none of its own").
			WithHint("With a Caddyfile of your own, or with HTTP_PORT and HTTPS_PORT off, Caddy is the proxy.")
	}
	return copies, nil
}

// Pause has Caddy accept nothing more from the public sockets.
func (p *publicSockets) Pause() { p.gate.pause() }

// Resume has it accept again.
func (p *publicSockets) Resume() error { return p.gate.resume() }

// copySocket copies the descriptor of an open socket. Both have the same flags.
func copySocket(address string) (*os.File, error) {
	fd, err := descriptor(address)
	if err != nil {
		return nil, err
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), address), nil
}

// descriptor reads what Caddy writes: fd/5.
func descriptor(address string) (int, error) {
	number, ok := strings.CutPrefix(address, "fd/")
	if !ok {
		return 0, fmt.Errorf("%s is no open socket", address)
	}
	return strconv.Atoi(number)
}

// newFront makes the proxy of a server.
func (c *core) newFront(sockets map[string]string) (*front.Proxy, error) {
	o := front.Options{
		Home: c.config.Home, Table: c.Table, Listeners: &publicSockets{gate: c.gate, sockets: sockets},
		ControlHosts: []string{hop3.NormalizeHost(c.config.ControlHost())},
		Backend:      front.Backend{Unix: filepath.Join(c.config.Home, "front.sock"), Secret: frontSecret(c.config)},
		Save:         c.config.SaveProxy, Logger: c.logger.Named("front"),
	}
	if _, open := sockets["https"]; open {
		o.Certificates = keptCertificates{c.Keeper}
	}
	if address, open := sockets["front-tcp"]; open {
		file, err := copySocket(address)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // a copy
		l, err := net.FileListener(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // and one of that
		o.Backend.TCP = l.Addr().String()
	}
	for _, m := range caddy.GetModules("hop3.proxies") {
		made := m.New()
		if user, ok := made.(interface{ UseBinary(path string) }); ok && m.ID.Name() == "traefik" {
			user.UseBinary(c.config.TraefikBinary)
		}
		if program, ok := made.(front.Program); ok {
			o.Programs = append(o.Programs, program)
		}
	}
	made := front.New(o)
	c.Keeper.OnChange(func(string) { made.Look() })
	return made, nil
}

// keptCertificates are those of the keeper, which nobody asks for by handshakes
// while another program ends TLS.
type keptCertificates struct{ keeper *certs.Keeper }

// Certificate returns the certificate of a host and its key, in PEM. One that
// is missing is asked for as for a visitor: not too soon after a failure.
func (k keptCertificates) Certificate(ctx context.Context, host string) (chain, key []byte, err error) {
	if _, err := k.keeper.GetCertificate(ctx, &tls.ClientHelloInfo{ServerName: host}); err != nil {
		return nil, nil, err
	}
	return k.keeper.PEM(ctx, host)
}

// EndFront has the program in front of the server of a home finish its
// requests and end. It does nothing where there is none.
func EndFront(home string, patience time.Duration) {
	if c := running(home); c != nil && c.front != nil {
		c.front.End(patience)
	}
}
