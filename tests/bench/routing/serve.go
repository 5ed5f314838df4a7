package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"

	// What a server needs to start, as in cmd/hop3.
	_ "github.com/abilian/hop3/hop3/build"
	_ "github.com/abilian/hop3/hop3/supervisor"
	_ "github.com/abilian/hop3/toolchains"
)

// serveContestant is the other side of startSelf: it serves until ctx is done
// or the process is told to end.
func serveContestant(ctx context.Context, spec string) error {
	f := strings.Split(spec, ",")
	if len(f) != 5 {
		return errors.New("-serve is used by the program itself")
	}
	kind, home, address, backend := f[0], f[2], f[3], f[4]
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return err
	}
	bind, portText, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return err
	}
	config, err := caddymodules.BaseConfig(caddymodules.BaseOptions{
		Home: home, BindHost: bind, HTTPPort: port, LogLevel: "ERROR",
		App: fmt.Appendf(nil, `{"home": %q}`, home),
	})
	if err != nil {
		return err
	}
	if kind == "stock" {
		if config, err = stockConfig(config, n, backend); err != nil {
			return err
		}
	}
	caddy.TrapSignals()
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	if kind == "hop3" {
		if err := fill(ctx, n, backend); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return caddy.Stop()
}

// fill puts n apps into the server's routing table.
func fill(ctx context.Context, n int, backend string) error {
	app, err := caddy.ActiveContext().App("hop3")
	if err != nil {
		return err
	}
	return fillTable(ctx, app.(interface{ RoutingTable() *routing.Table }).RoutingTable(), n, backend)
}

func fillTable(ctx context.Context, table *routing.Table, n int, backend string) error {
	for i := range n {
		r := hop3.Route{App: "app" + strconv.Itoa(i), Release: 1, Hosts: []string{host(i)}, Upstreams: []string{backend}}
		if err := table.Set(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// stockConfig turns our configuration into one with a route for each host, as
// one writes it for a Caddy without Hop3.
func stockConfig(config []byte, n int, backend string) ([]byte, error) {
	var c map[string]any
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	routes := make([]any, n)
	for i := range n {
		routes[i] = map[string]any{
			"match": []any{map[string]any{"host": []string{host(i)}}},
			"handle": []any{map[string]any{
				"handler":   "reverse_proxy",
				"upstreams": []any{map[string]any{"dial": backend}},
			}},
			"terminal": true,
		}
	}
	delete(c, "logging") // ours spares the proxy's own
	apps := c["apps"].(map[string]any)
	delete(apps, "hop3")
	servers := apps["http"].(map[string]any)["servers"].(map[string]any)
	servers["http"].(map[string]any)["routes"] = routes
	return json.Marshal(c)
}
