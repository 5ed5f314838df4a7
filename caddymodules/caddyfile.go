package caddymodules

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"strconv"
)

// parseApp reads the global option:
//
//	hop3 {
//		home      <directory>
//		<setting> <value>
//	}
//
// The settings are those of the server's configuration file: see
// hop3/serverconfig.
func parseApp(d *caddyfile.Dispenser, _ any) (any, error) {
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "hop3", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the global option. See parseApp.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		name := d.Val()
		var value string
		if !d.AllArgs(&value) {
			return d.ArgErr()
		}
		if name == "home" {
			a.Home = value
			continue
		}
		if a.Settings == nil {
			a.Settings = map[string]string{}
		}
		a.Settings[name] = value
	}
	return nil
}

// parseRPC reads the directive hop3_rpc, which takes nothing.
func parseRPC(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	if h.NextArg() {
		return nil, h.ArgErr()
	}
	return new(RPC), nil
}

// parseApps reads the directive hop3_apps.
func parseApps(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	apps := new(Apps)
	return apps, apps.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads:
//
//	hop3_apps {
//		https_port <port>
//	}
func (a *Apps) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if d.Val() != "https_port" {
			return d.Errf("unknown option %q of hop3_apps: use https_port", d.Val())
		}
		var port string
		if !d.AllArgs(&port) {
			return d.ArgErr()
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return d.Errf("%q is not a port", port)
		}
		a.HTTPSPort = int(n)
	}
	return nil
}
