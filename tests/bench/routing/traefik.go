package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// traefikBinary returns the Traefik that TRAEFIK_BIN names, or that tests/run
// has built last; "" for none.
func traefikBinary() string {
	if named := os.Getenv("TRAEFIK_BIN"); named != "" {
		return named
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	built, err := filepath.Glob(filepath.Join(cache, "hop3-tests", "traefik-*", "traefik"))
	if err != nil || len(built) == 0 {
		return ""
	}
	return slices.Max(built)
}

// startTraefik starts a Traefik with a router and a service for each of n apps,
// in the file that it watches. What is not about them is as it comes.
func startTraefik(ctx context.Context, home string, n int, backend string) (*contestant, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	routes := filepath.Join(home, "routes.yml") // JSON is YAML
	if err := writeTraefikRoutes(routes, n, backend, backend); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, traefikBinary(), "--entrypoints.web.address="+address, "--providers.file.filename="+routes,
		"--log.level=ERROR", "--global.checknewversion=false", "--global.sendanonymoususage=false")
	cmd.Dir = home
	c := &contestant{kind: "traefik", apps: n, address: address, cmd: cmd}
	c.change = func(upstream string) error { return writeTraefikRoutes(routes, n, upstream, backend) }
	return c, c.start(ctx)
}

// writeTraefikRoutes replaces the file at once: Traefik reads it when it changes.
func writeTraefikRoutes(file string, n int, first, backend string) error {
	routers, services := map[string]any{}, map[string]any{}
	for i := range n {
		upstream := backend
		if i == 0 {
			upstream = first
		}
		name := fmt.Sprintf("app%d", i)
		routers[name] = map[string]any{"entryPoints": []string{"web"}, "rule": "Host(`" + host(i) + "`)", "service": name}
		services[name] = map[string]any{"loadBalancer": map[string]any{"servers": []any{map[string]any{"url": "http://" + upstream}}}}
	}
	b, err := json.Marshal(map[string]any{"http": map[string]any{"routers": routers, "services": services}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
