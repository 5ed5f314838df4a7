package command

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func tunnelCommands() []Command {
	return []Command{{
		Name: "app tunnel", Summary: "Connect to a process of an app", Who: Deployer, App: NeedsApp, Hidden: true,
		Flags: []Flag{{Name: "type", Value: "PROCESS", Help: "of this process type; the one that serves HTTP if not said"}},
		Run:   appTunnel, Attach: attachTunnel,
	}, {
		Name: "addon tunnel", Summary: "Connect to an addon", Usage: "NAME", Who: User, Min: 1, Max: 1, Hidden: true,
		Flags: []Flag{typeFlag}, Run: addonTunnel, Attach: attachAddonTunnel,
	}}
}

// addonTunnel says whether there is such an addon.
func addonTunnel(ctx context.Context, c *Call) ([]api.Item, error) {
	id, err := c.find(ctx)
	if err != nil {
		return nil, err
	}
	return []api.Item{api.Text("'%s' is of the type %s.", id.Name, id.Type)}, nil
}

// attachAddonTunnel passes bytes between the caller and the addon's service,
// which asks for the credentials itself.
func attachAddonTunnel(ctx context.Context, c *Call, con Console) (exit int, err error) {
	id, err := c.find(ctx)
	if err != nil {
		return 0, err
	}
	end, err := c.Platform.AddonEndpoint(ctx, c.Actor(), id)
	if err != nil {
		return 0, err
	}
	return 0, con.connect(ctx, net.JoinHostPort(end.Host, strconv.Itoa(end.Port)))
}

// appTunnel says whether there is something to connect to.
func appTunnel(ctx context.Context, c *Call) ([]api.Item, error) {
	if _, err := c.Platform.Endpoint(ctx, c.Actor(), c.App, c.Value("type")); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("'%s' listens.", c.App)}, nil
}

// attachTunnel passes bytes between the caller and the process.
func attachTunnel(ctx context.Context, c *Call, con Console) (exit int, err error) {
	upstream, err := c.Platform.Endpoint(ctx, c.Actor(), c.App, c.Value("type"))
	if err != nil {
		return 0, err
	}
	what := "its web process"
	if t := c.Value("type"); t != "" {
		what = "the process " + t
	}
	return 0, c.Platform.Tunnel(ctx, c.Actor(), c.App, what, func(ctx context.Context) error { return con.connect(ctx, upstream) })
}

// connectTimeout bounds how long a process of this machine may take to accept.
const connectTimeout = 10 * time.Second

// connect passes bytes both ways until the other end has closed, or ctx ends.
func (con Console) connect(ctx context.Context, upstream string) error {
	network, address := "tcp", upstream
	if path, ok := strings.CutPrefix(upstream, "unix/"); ok {
		network, address = "unix", path
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "nothing accepts the connection there: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	if con.Stdin != nil {
		go func() {
			defer func() { _ = recover() }() // a panic of somebody else's Reader
			_, _ = io.Copy(conn, con.Stdin)  // the answer tells what was missing
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // it has closed already
			}
		}()
	}
	_, err = io.Copy(con.Stdout, conn)
	if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
