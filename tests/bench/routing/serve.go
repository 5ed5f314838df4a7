package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
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
	caddy.TrapSignals()
	if kind == "hop3" {
		err = serveHop3(ctx, config, n, backend)
	} else {
		err = serveStock(config, n, backend)
	}
	return errors.Join(err, caddy.Stop())
}

// serveHop3 puts n apps into the routing table, and then what it is told of the
// first.
func serveHop3(ctx context.Context, config []byte, n int, backend string) error {
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	app, err := caddy.ActiveContext().App("hop3")
	if err != nil {
		return err
	}
	table := app.(interface{ RoutingTable() *routing.Table }).RoutingTable()
	if err := fillTable(ctx, table, n, backend); err != nil {
		return err
	}
	release := 1
	return orders(func(upstream string) error {
		release++
		return table.Set(ctx, hop3.Route{App: "app0", Release: release, Hosts: []string{host(0)}, Upstreams: []string{upstream}})
	})
}

// serveStock has n routes in Caddy's configuration, which it loads again for
// each change.
func serveStock(base []byte, n int, backend string) error {
	load := func(first string) error {
		config, err := stockConfig(base, n, first, backend)
		if err != nil {
			return err
		}
		return caddy.Load(config, true)
	}
	if err := load(backend); err != nil {
		return err
	}
	return orders(load)
}

// orders reads upstreams for the first app until there are no more.
func orders(change func(upstream string) error) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := change(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
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
func stockConfig(config []byte, n int, first, backend string) ([]byte, error) {
	var c map[string]any
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	routes := make([]any, n)
	for i := range n {
		upstream := backend
		if i == 0 {
			upstream = first
		}
		routes[i] = map[string]any{
			"match": []any{map[string]any{"host": []string{host(i)}}},
			"handle": []any{map[string]any{
				"handler":   "reverse_proxy",
				"upstreams": []any{map[string]any{"dial": upstream}},
			}},
			"terminal": true,
		}
	}
	delete(c, "logging") // ours spares the proxy's own
	apps := c["apps"].(map[string]any)
	delete(apps, "hop3")
	servers := apps["http"].(map[string]any)["servers"].(map[string]any)
	server := servers["http"].(map[string]any)
	server["routes"] = routes
	delete(server, "listener_wrappers") // ours brings a Hop3 with it
	return json.Marshal(c)
}
