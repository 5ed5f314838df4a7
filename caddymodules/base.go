package caddymodules

import (
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// BaseOptions are the settings of the server that are Caddy's business.
type BaseOptions struct {
	Home         string          // certificates go to <home>/caddy
	App          json.RawMessage // configuration of the hop3 app
	HTTPPort     int             // of the apps; 0: closed
	HTTPSPort    int             // of the apps; 0: closed
	BindHost     string          // address of both; "" for all
	HTTP3        bool
	Fronted      bool   // another program has the public ports, and ends TLS
	RPCAddress   string // host:port of the control plane alone; "" for none
	ControlHosts []string
	// ControlHandlers answer for ControlHosts and at RPCAddress.
	ControlHandlers []json.RawMessage
	ACME            ACMEOptions
	TrustedProxies  []string // CIDRs of proxies in front of us, whose X-Forwarded-* count
	LogLevel        string   // "" means WARN
	// Listeners are sockets that are open already, as Caddy writes their
	// addresses (fd/5, fdgram/6), by name: http, https, http3 and api. The
	// others are opened.
	Listeners map[string]string
}

// BaseConfig returns Caddy's configuration, in JSON, for a server that is run
// without a Caddyfile. Routes of apps are not part of it.
func BaseConfig(o BaseOptions) ([]byte, error) {
	var warnings []caddyconfig.Warning
	cfg := &caddy.Config{
		Admin:      baseAdmin(),
		Logging:    baseLogging(o.LogLevel, o.Home),
		StorageRaw: caddyconfig.JSON(map[string]string{"module": "file_system", "root": filepath.Join(o.Home, "caddy")}, &warnings),
		AppsRaw:    caddy.ModuleMap{"http": caddyconfig.JSON(baseHTTP(o), &warnings)},
	}
	if o.App != nil {
		cfg.AppsRaw["hop3"] = o.App
	}
	if o.HTTPSPort != 0 {
		tls, err := baseTLS(o)
		if err != nil {
			return nil, err
		}
		cfg.AppsRaw["tls"] = caddyconfig.JSON(tls, &warnings)
		cfg.AppsRaw["pki"] = json.RawMessage(`{"certificate_authorities": {"local": {"install_trust": false}}}`)
	}
	return json.Marshal(cfg)
}

// Private

// baseAdmin closes Caddy's admin API: it has no authentication, can replace
// everything, and nothing here needs it.
func baseAdmin() *caddy.AdminConfig {
	persist := false // the database is the truth
	return &caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: &persist}}
}

func baseHTTP(o BaseOptions) *caddyhttp.App {
	app := &caddyhttp.App{
		HTTPPort:    o.HTTPPort,
		HTTPSPort:   o.HTTPSPort,
		GracePeriod: caddy.Duration(30 * time.Second),
		Servers:     map[string]*caddyhttp.Server{},
	}
	if front, open := o.Listeners["front"]; open {
		app.Servers["front"] = frontServer(o, front)
	}
	if o.HTTPPort != 0 {
		app.Servers["http"] = publicServer(o, "http", o.HTTPPort, "h1")
	}
	if o.HTTPSPort != 0 {
		app.Servers["https"] = httpsServer(o)
		app.Servers["https"].TLSConnPolicies = anyConnection()
	}
	if o.RPCAddress != "" && len(o.ControlHandlers) > 0 {
		app.Servers["rpc"] = baseServer(o.address("api", o.RPCAddress), "h1")
		app.Servers["rpc"].Routes = append(app.Servers["rpc"].Routes, caddyhttp.Route{HandlersRaw: o.ControlHandlers})
	}
	return app
}

// address returns the address of the open socket of that name, the other
// address when there is none.
func (o BaseOptions) address(name, other string) string {
	if open, ok := o.Listeners[name]; ok {
		return open
	}
	return other
}

// httpsServer is the public server on the HTTPS port. An open socket is either
// of streams or of datagrams, while Caddy opens both for one address.
func httpsServer(o BaseOptions) *caddyhttp.Server {
	if _, open := o.Listeners["https"]; !open {
		if !o.HTTP3 {
			return publicServer(o, "https", o.HTTPSPort, "h1", "h2")
		}
		return publicServer(o, "https", o.HTTPSPort, "h1", "h2", "h3")
	}
	srv := publicServer(o, "https", o.HTTPSPort, "h1", "h2")
	if datagrams, open := o.Listeners["http3"]; open && o.HTTP3 {
		srv.Protocols = append(srv.Protocols, "h3")
		srv.Listen = append(srv.Listen, datagrams)
		srv.ListenProtocols = [][]string{{"h1", "h2"}, {"h3"}}
	}
	return srv
}

func publicServer(o BaseOptions, name string, port int, protocols ...string) *caddyhttp.Server {
	address := o.address(name, net.JoinHostPort(o.BindHost, strconv.Itoa(port)))
	srv := baseServer(address, protocols...)
	// Below TLS, so that it is the socket which is opened again after a pause.
	srv.ListenerWrappersRaw = []json.RawMessage{
		caddyconfig.JSONModuleObject(&Listeners{Public: address}, "wrapper", "hop3", nil),
		json.RawMessage(`{"wrapper":"tls"}`),
	}
	srv.Routes = caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(&Gate{Public: true}, "handler", "hop3_gate", nil)}}}
	srv.Routes = append(srv.Routes, hostRoutes(o)...)
	if len(o.TrustedProxies) > 0 {
		srv.TrustedProxiesRaw = caddyconfig.JSON(map[string]any{"source": "static", "ranges": slices.Clone(o.TrustedProxies)}, nil)
		// A proxy adds to what its client sent: only what it added counts.
		srv.TrustedProxiesStrict = 1
	}
	return srv
}

// frontServer serves what a program in front of us passes on.
func frontServer(o BaseOptions, address string) *caddyhttp.Server {
	srv := baseServer(address, "h1", "h2c")
	if port, open := o.Listeners["front-tcp"]; open {
		srv.Listen = append(srv.Listen, port)
	}
	srv.Routes = append(srv.Routes, caddyhttp.Route{HandlersRaw: []json.RawMessage{json.RawMessage(`{"handler":"hop3_front"}`)}})
	srv.Routes = append(srv.Routes, hostRoutes(o)...)
	return srv
}

// hostRoutes lead to the server's own hosts, and to the apps.
func hostRoutes(o BaseOptions) (routes caddyhttp.RouteList) {
	if len(o.ControlHosts) > 0 && len(o.ControlHandlers) > 0 {
		hosts := caddyconfig.JSON(o.ControlHosts, nil)
		routes = append(routes, caddyhttp.Route{
			MatcherSetsRaw: caddyhttp.RawMatcherSets{{"host": hosts}},
			HandlersRaw:    o.ControlHandlers,
			Terminal:       true,
		})
	}
	apps := caddyconfig.JSONModuleObject(&Apps{HTTPSPort: o.HTTPSPort}, "handler", "hop3_apps", nil)
	return append(routes, caddyhttp.Route{HandlersRaw: []json.RawMessage{apps}})
}

// baseServer is a server whose certificates and redirects are ours to decide,
// not Caddy's: what it would do depends on hosts in the configuration, and
// the hosts are in the routing table.
func baseServer(address string, protocols ...string) *caddyhttp.Server {
	return &caddyhttp.Server{
		Listen:            []string{address},
		Protocols:         protocols,
		ReadHeaderTimeout: caddy.Duration(20 * time.Second),
		MaxHeaderBytes:    64 << 10,
		AutoHTTPS:         &caddyhttp.AutoHTTPSConfig{Disabled: true},

		ListenerWrappersRaw: []json.RawMessage{json.RawMessage(`{"wrapper":"hop3"}`)},
		Routes:              caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{json.RawMessage(`{"handler":"hop3_gate"}`)}}},
	}
}
