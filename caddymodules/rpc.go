package caddymodules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/archive"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/rpc"
)

// RPC is the handler http.handlers.hop3_rpc: it answers the command line. What
// is not for it goes to the next handler.
type RPC struct {
	app *App
}

// CaddyModule describes the module.
func (*RPC) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.hop3_rpc", New: func() caddy.Module { return new(RPC) }}
}

// Provision finds the server.
func (h *RPC) Provision(ctx caddy.Context) error {
	made, err := ctx.App("hop3")
	if err != nil {
		return fmt.Errorf("finding the app hop3: %w", err)
	}
	app, ok := made.(*App)
	if !ok {
		return errors.New("the app hop3 is another one")
	}
	h.app = app
	return nil
}

// ServeHTTP answers what is the API's.
func (h *RPC) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !isAPI(r.URL.Path) {
		return next.ServeHTTP(w, r)
	}
	server := h.app.core.api.Load()
	if server == nil { // no error to log: it passes
		w.Header().Set("Retry-After", "1")
		http.Error(w, "The server is starting.", http.StatusServiceUnavailable)
		return nil
	}
	if r.URL.Path == metricsPath {
		if !h.app.core.metrics.Load().serve(w, r) {
			return next.ServeHTTP(w, r)
		}
		return nil
	}
	server.ServeHTTP(w, r)
	return nil
}

func isAPI(path string) bool {
	switch path {
	case "/rpc", "/rpc/", "/health", "/version", metricsPath:
		return true
	}
	return strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/hooks/") || strings.HasPrefix(path, "/why/") || strings.HasPrefix(path, "/auth/")
}

// Version is the server's version.
const Version = "0.8.0"

// unixPathMax is the longest path a unix socket can have on Linux.
const unixPathMax = 107

// openAPI makes the API's handler, and serves it without asking for a token on
// a socket that only the server's own user can reach: for host commands.
func (c *core) openAPI(home string) error {
	commands := command.New(command.Server{Platform: c.Platform, Streams: c.Streams, Version: Version, Plugins: Plugins})
	uploads, err := c.uploads(home)
	if err != nil {
		return err
	}
	handler := func(host *hop3.User) *rpc.Handler {
		return &rpc.Handler{
			Platform: c.Platform, Commands: commands, Streams: c.Streams, Version: Version,
			Logger: c.logger.Named("rpc"), Host: host, Uploads: uploads, OverTLS: overTLS,
		}
	}
	c.metrics.Store(c.newMetrics())
	c.api.Store(handler(nil))
	path := filepath.Join(home, "run", "server.sock")
	if len(path) > unixPathMax {
		return hop3.Errorf(hop3.CodeInvalid, "the home %s has too long a path: at most %d characters fit", home, unixPathMax-len("/run/server.sock"))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an old socket: %w", err)
	}
	listener, err := net.Listen("unix", path) // its directory is ours alone
	if err != nil {
		return fmt.Errorf("listening for host commands: %w", err)
	}
	c.host = &http.Server{Handler: c.hostHandler(handler(&hop3.User{Username: "host", Admin: true, Active: true})), ReadHeaderTimeout: 10 * time.Second}
	c.Platform.Go("host commands", func(context.Context) {
		if err := c.host.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.logger.Error("host commands are not served any more", zap.Error(err))
		}
	})
	return nil
}

// uploads makes the directory of uploads, empty: a server that was killed left
// its own.
func (c *core) uploads(home string) (rpc.Uploads, error) {
	dir := filepath.Join(home, "run", "uploads")
	err := os.RemoveAll(dir)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return rpc.Uploads{}, fmt.Errorf("making the directory of uploads: %w", err)
	}
	return rpc.Uploads{Dir: dir, Limits: archive.Limits{
		Size: c.config.MaxArchiveSize, Unpacked: c.config.MaxExtractedSize, Members: c.config.MaxArchiveMembers,
	}}, nil
}

// Plugins are the modules that plug into Hop3.
func Plugins() []command.Plugin {
	var all []command.Plugin
	for _, kind := range []struct{ namespace, provides string }{
		{"toolchains", "toolchain"}, {"builders", "builder"}, {"runtimes", "runtime"}, {"proxies", "proxy"}, {"addons", "addon"},
	} {
		for _, m := range caddy.GetModules("hop3." + kind.namespace) {
			all = append(all, command.Plugin{Name: string(m.ID), Provides: kind.provides + " " + m.ID.Name()})
		}
	}
	return all
}
