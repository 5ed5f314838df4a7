package caddymodules

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/move"
	"github.com/abilian/hop3/hop3/platform"
)

// otherServers are the servers that apps move to.
type otherServers struct{ move.Servers }

// Server implements platform.OtherServers.
func (o *otherServers) Server(address, app, secret string) (platform.OtherServer, error) {
	return o.Servers.Server(address, app, secret)
}

// openRelays lets apps move to other servers.
func (c *core) openRelays(home string) error {
	c.relays = move.NewRelays(filepath.Join(home, "run", "relays"), slogOf(c.logger.Named("relays")))
	c.Platform.Servers, c.Platform.Relays = &otherServers{}, c.relays
	return c.relays.Sweep()
}

func (c *core) closeRelays(ctx context.Context) {
	if c.relays == nil {
		return
	}
	// Our own proxy has let its requests end; another one makes them again.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c.relays.Shutdown(ctx)
	c.relays = nil
}

// relayed makes a request that another server passes on, since its app has
// moved here, what it would be had the client come to us.
func (a *Apps) relayed(r *http.Request) {
	secret := r.Header.Get(api.MoveRelayHeader)
	if secret == "" {
		return
	}
	delete(r.Header, api.MoveRelayHeader)
	if a.core == nil {
		return
	}
	p := a.core.platform.Load()
	if p == nil || !p.Relayed(secret) {
		return
	}
	chain := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
	client := strings.TrimSpace(chain[len(chain)-1])
	if net.ParseIP(client) == nil {
		return
	}
	r.RemoteAddr = net.JoinHostPort(client, "0")
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, client)
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, false)
	r.TLS = nil
	if r.Header.Get("X-Forwarded-Proto") == "https" {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: hostOnly(r.Host)}
	}
	// The proxy makes them anew from what we have just said.
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-Ip"} {
		delete(r.Header, name)
	}
}
