// Package caddymodules is Hop3 inside Caddy: everything that imports Caddy's
// HTTP and TLS. All registrations and guards are in this file, but for the
// plug-ins' (hop3.toolchains, hop3.builders, hop3.runtimes), which stand in
// their own packages.
package caddymodules

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule((*App)(nil))
	caddy.RegisterModule((*Apps)(nil))
	caddy.RegisterModule((*RPC)(nil))
	caddy.RegisterModule((*Gate)(nil))
	caddy.RegisterModule((*Front)(nil))
	caddy.RegisterModule((*Listeners)(nil))
	caddy.RegisterModule((*Upstreams)(nil))
	caddy.RegisterModule((*Selection)(nil))
	caddy.RegisterModule((*RepeatOnce)(nil))
	caddy.RegisterModule((*Permission)(nil))
	caddy.RegisterModule((*Certificates)(nil))
	caddy.RegisterModule((*Proxy)(nil))

	httpcaddyfile.RegisterGlobalOption("hop3", parseApp)
	// Caddy only takes its own directives as a reference, and respond is the
	// first that would answer instead of us.
	httpcaddyfile.RegisterHandlerDirective("hop3_rpc", parseRPC)
	httpcaddyfile.RegisterDirectiveOrder("hop3_rpc", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterHandlerDirective("hop3_apps", parseApps)
	httpcaddyfile.RegisterDirectiveOrder("hop3_apps", httpcaddyfile.Before, "respond")
}

var (
	_ caddy.App             = (*App)(nil)
	_ caddy.Provisioner     = (*App)(nil)
	_ caddy.CleanerUpper    = (*App)(nil)
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ tableSource           = (*App)(nil)

	_ caddy.Provisioner           = (*Apps)(nil)
	_ caddy.CleanerUpper          = (*Apps)(nil)
	_ caddyhttp.MiddlewareHandler = (*Apps)(nil)
	_ caddyfile.Unmarshaler       = (*Apps)(nil)

	_ reverseproxy.UpstreamSource = (*Upstreams)(nil)
	_ reverseproxy.Selector       = (*Selection)(nil)

	_ caddyhttp.RequestMatcherWithError = (*RepeatOnce)(nil)

	_ caddy.Provisioner           = (*RPC)(nil)
	_ caddyhttp.MiddlewareHandler = (*RPC)(nil)

	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)

	_ caddy.Provisioner           = (*Front)(nil)
	_ caddyhttp.MiddlewareHandler = (*Front)(nil)

	_ caddy.Provisioner     = (*Listeners)(nil)
	_ caddy.ListenerWrapper = (*Listeners)(nil)

	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)

	_ caddy.Provisioner     = (*Certificates)(nil)
	_ certmagic.Manager     = (*Certificates)(nil)
	_ caddyfile.Unmarshaler = (*Certificates)(nil)
	_ keeperSource          = (*App)(nil)

	_ hop3.Proxy = (*Proxy)(nil)
)
