package caddymodules

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/sshd"
)

// sessionsEnd is how long SSH sessions may go on after their listener closed:
// when the server ends, and when only its configuration changes.
const (
	sessionsEndExit   = 5 * time.Second
	sessionsEndReload = 5 * time.Minute
)

// startSSH listens for SSH as the configuration says. The listener is Caddy's:
// over a reload the same socket goes on.
func (a *App) startSSH() error {
	address := caddy.NetworkAddress{Network: "tcp", Host: a.config.Bind, StartPort: uint(a.config.SSHPort), EndPort: uint(a.config.SSHPort)}
	if a.SSHListen != "" {
		var err error
		if address, err = caddy.ParseNetworkAddress(a.SSHListen); err != nil {
			return fmt.Errorf("listening for SSH: %w", err)
		}
	}
	made, err := address.Listen(a.ctx, 0, net.ListenConfig{})
	if err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "listening for SSH on %s: %w", address, err)
	}
	listener, ok := made.(net.Listener)
	if !ok {
		return errors.New("listening for SSH: not a stream listener")
	}
	server := &sshd.Server{
		Home:     a.config.Home,
		Repos:    a.core.Repos,
		Users:    users{a.core.Platform, &a.core.hostKeys},
		Pushes:   pushes{a.core.Platform},
		Fetches:  pushes{a.core.Platform},
		Commands: a.core.sshCommand,
		Logger:   a.logger.Named("ssh"),
	}
	a.ssh = server
	a.core.ssh.Store(server)
	if reached := loopback(listener.Addr()); reached != "" {
		a.core.sshAddress.Store(&reached)
	}
	a.core.Platform.Go("ssh", func(ctx context.Context) {
		if err := server.Serve(ctx, listener); err != nil {
			a.logger.Error("the SSH server ended", zap.Error(err))
		}
	})
	return nil
}

// Stop closes the SSH listener. Sessions under way may take their time when
// only the configuration changes.
func (a *App) Stop() error {
	server := a.ssh
	if server == nil {
		return nil
	}
	shutdown := func(ctx context.Context, limit time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return server.Close()
		}
		return nil
	}
	if references, _ := cores.References(a.config.Home); references > 1 {
		// Another configuration has taken over already.
		a.core.Platform.Go("ssh shutdown", func(ctx context.Context) {
			if err := shutdown(ctx, sessionsEndReload); err != nil {
				a.logger.Warn("ending SSH sessions", zap.Error(err))
			}
		})
		return nil
	}
	a.core.Platform.Interrupt() // pushers are told why their deploy ends
	return shutdown(context.Background(), sessionsEndExit)
}

// pushes asks the platform about sshd's pushes and fetches.
type pushes struct{ platform *platform.Platform }

func (p pushes) BeginPush(ctx context.Context, username string, admin bool, app string, out hop3.Output) (sshd.Push, error) {
	push, err := p.platform.BeginPush(ctx, platform.Actor{Username: username, Admin: admin, Source: sshd.From(ctx)}, app, out)
	if err != nil {
		return nil, err
	}
	return push, nil
}

func (p pushes) MayFetch(ctx context.Context, username string, admin bool, app string) error {
	return p.platform.Authorize(ctx, platform.Actor{Username: username, Admin: admin}, app, hop3.RoleViewer)
}
