package caddymodules

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// Permission allows certificates for the names that apps list, and for the
// server's own. A wildcard is not enough: whoever can think of names could
// use up the certificate authority's limits.
type Permission struct {
	// Hosts are the server's own names.
	Hosts []string `json:"hosts,omitempty"`

	own   map[string]bool
	table *routing.Table
	gate  *gate
}

// CaddyModule returns the Caddy module information.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission.hop3", New: func() caddy.Module { return new(Permission) }}
}

// Provision finds the routing table.
func (p *Permission) Provision(ctx caddy.Context) (err error) {
	p.own = make(map[string]bool, len(p.Hosts))
	for _, host := range p.Hosts {
		p.own[hop3.NormalizeHost(host)] = true
	}
	if p.table, err = routingTable(ctx); err != nil {
		return err
	}
	p.gate, err = gateOf(ctx)
	return err
}

// CertificateAllowed returns nil for a name that may have a certificate. It
// may be called at every handshake.
func (p *Permission) CertificateAllowed(ctx context.Context, name string) error {
	p.gate.await(ctx) // the table of a server that starts is empty
	if p.own[name] || p.table.Explicit(name) {
		return nil
	}
	return fmt.Errorf("%s: %w: no app has this name", name, caddytls.ErrPermissionDenied)
}

// UnmarshalCaddyfile reads `permission hop3 [<host>…]`.
func (p *Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	p.Hosts = append(p.Hosts, d.RemainingArgs()...)
	return nil
}
