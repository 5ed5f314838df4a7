package caddymodules

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3/routing"
)

// Proxy sends requests through the Caddy around us: it is the routing table,
// which http.handlers.hop3_apps reads at each request.
type Proxy struct {
	*routing.Table `json:"-"`
}

// CaddyModule returns the Caddy module information.
func (*Proxy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.proxies.caddy", New: func() caddy.Module { return new(Proxy) }}
}

// UseTable gives the proxy its table. The hop3 app calls it after loading the
// module: a guest cannot ask for the app that is being provisioned.
func (p *Proxy) UseTable(t *routing.Table) { p.Table = t }

// tableSource is what the modules around the table need of the hop3 app.
type tableSource interface {
	RoutingTable() *routing.Table
}

// routingTable returns the table of the configuration that ctx provisions.
func routingTable(ctx caddy.Context) (*routing.Table, error) {
	app, err := ctx.App("hop3")
	if err != nil {
		return nil, fmt.Errorf("getting the hop3 app: %w", err)
	}
	source, ok := app.(tableSource)
	if !ok {
		return nil, fmt.Errorf("the hop3 app is a %T, which has no routing table", app)
	}
	return source.RoutingTable(), nil
}
