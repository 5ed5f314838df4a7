package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Ports returns the fixed ports of all apps, ordered by number.
func (p *Platform) Ports(ctx context.Context, who Actor) ([]hop3.PortClaim, error) {
	names, err := p.AppNames(ctx, who)
	if err != nil {
		return nil, err
	}
	claims, err := p.Store.Ports(ctx)
	return slices.DeleteFunc(claims, func(c hop3.PortClaim) bool { return !slices.Contains(names, c.App) }), err
}

// claimPorts makes sure before the build that a release can have its fixed
// ports, and claims them beside those of the live release; Commit leaves the
// release's own. When the deploy fails, keepPorts gives them back.
func (p *Platform) claimPorts(ctx context.Context, app hop3.App, ports []hop3.Port) error {
	if len(ports) == 0 {
		return nil
	}
	if err := p.checkPorts(ports); err != nil {
		return err
	}
	live, err := p.livePorts(ctx, app)
	if err != nil {
		return err
	}
	if err := p.Store.ClaimPorts(ctx, app.Name, append(slices.Clone(live), ports...)); err != nil {
		return err
	}
	for _, port := range ports {
		if slices.ContainsFunc(live, port.Is) {
			continue // by the live release itself
		}
		holder, err := p.Prober.PortHolder(port)
		if err != nil {
			return err
		}
		if holder != "" {
			return hop3.Errorf(hop3.CodeConflict, "port %s of the host, which hop3.toml asks for, is taken by %s", port, holder).
				WithHint("Stop what listens there, or choose another number in [[ports]].")
		}
	}
	return nil
}

// checkPorts refuses ports that no app of this server can have.
func (p *Platform) checkPorts(ports []hop3.Port) error {
	lowest := p.Prober.LowestPort(p.Settings.NotIsolated == nil)
	var services map[int]string
	if p.ServicePorts != nil {
		services = p.ServicePorts()
	}
	for _, port := range ports {
		n := port.Number
		if _, own := services[n]; own && port.Protocol == "tcp" { // whose is nobody's business
			return hop3.Errorf(hop3.CodeConflict, "port %s of [[ports]] is that of an addon", port).
				WithHint("Choose another number in hop3.toml.")
		}
		switch name, own := p.Settings.ServerPorts[n]; {
		case own:
			return hop3.Errorf(hop3.CodeConflict, "port %s of [[ports]] is the server's own %s", port, name).
				WithHint("Choose another number in hop3.toml.")
		case p.Settings.AppPorts[0] <= n && n <= p.Settings.AppPorts[1]:
			return hop3.Errorf(hop3.CodeConflict, "port %s of [[ports]] is in the range %d to %d, from which this server takes $PORT", port, p.Settings.AppPorts[0], p.Settings.AppPorts[1]).
				WithHint("Choose a number outside of it in hop3.toml.")
		case n < lowest:
			return hop3.Errorf(hop3.CodeConflict, "port %s of [[ports]] is below %d, where this machine's kernel lets only privileged programs listen, and no app is one", port, lowest).
				WithHint("Choose a higher number in hop3.toml, or let the server's admin run `sysctl net.ipv4.ip_unprivileged_port_start=%d`, which lets every program of the machine.", n)
		case p.Settings.PortsStrict && port.Source != hop3.AnySource:
			return hop3.Errorf(hop3.CodeConflict, "port %s of [[ports]] is to be reached from %s only, which is the firewall's to enforce and this server does not", port, port.Source).
				WithHint("Take 'source' out of hop3.toml once the firewall is set up, or let the server's admin set PORTS_STRICT=false.")
		}
	}
	return nil
}

func (p *Platform) livePorts(ctx context.Context, app hop3.App) ([]hop3.Port, error) {
	if app.Live == 0 {
		return nil, nil
	}
	live, err := p.Store.Release(ctx, app.Name, app.Live)
	return live.Ports, err
}

// keepPorts leaves an app the ports of its live release alone, after a deploy
// that failed.
func (p *Platform) keepPorts(ctx context.Context, name string) error {
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return err
	}
	live, err := p.livePorts(ctx, app)
	if err != nil {
		return err
	}
	return p.Store.ClaimPorts(ctx, name, live)
}

// portVariables tell an app its fixed ports.
func portVariables(ports []hop3.Port) hop3.Env {
	vars := hop3.Env{}
	for _, port := range ports {
		vars[port.Variable()] = strconv.Itoa(port.Number)
	}
	return vars
}

// tellPorts says which ports an app has, and what nobody enforces.
func tellPorts(out hop3.Output, ports []hop3.Port) {
	for _, port := range ports {
		say(out, "       Port %s of the host is the app's, in $%s", port, port.Variable())
		if port.Source == hop3.AnySource {
			continue
		}
		tell(out, 0, "yellow", "       Warning: everybody who reaches this machine reaches port %s: that only %s does is the firewall's to enforce, and Hop3 does not change it. With nftables or ufw:", port, port.Source)
		tell(out, 0, "yellow", "         nft add rule inet filter input %s dport %d ip saddr %s accept", port.Protocol, port.Number, port.Source)
		tell(out, 0, "yellow", "         nft add rule inet filter input %s dport %d drop", port.Protocol, port.Number)
		tell(out, 0, "yellow", "         ufw allow proto %s from %s to any port %d", port.Protocol, port.Source, port.Number)
	}
}

// exclusive reports whether two releases cannot run beside each other, since
// both listen on the same port of the host.
func exclusive(old, next hop3.Release) bool {
	return slices.ContainsFunc(next.Ports, func(port hop3.Port) bool { return slices.ContainsFunc(old.Ports, port.Is) })
}

// makeWay stops the live release before the next one starts, where they cannot
// run beside each other. Requests are held meanwhile, as for an app that is
// asleep: the first one's wake waits for the lock that the switch has. The
// database still says that the old release is live, so that a server that ends
// in between starts it again.
func (p *Platform) makeWay(ctx context.Context, app hop3.App, old hop3.Release, out hop3.Output) error {
	ctx = context.WithoutCancel(ctx)
	say(out, "-----> Stopping release v%d, whose ports the new one needs; requests wait", old.Number)
	if app.Awake() {
		if err := p.rest(ctx, old, hop3.RouteAsleep); err != nil {
			return err
		}
		drain, cancel := context.WithTimeout(ctx, p.Settings.StopGrace)
		defer cancel()
		_ = p.Proxy.Drain(drain, old.ID()) // its time being up is the bound, not a failure
	}
	if err := p.Runtime.Stop(ctx, old.ID(), p.Settings.StopGrace); err != nil {
		return errors.Join(fmt.Errorf("stopping v%d: %w", old.Number, err), p.comeBack(ctx, app, old))
	}
	return nil
}

// comeBack starts the live release again that has made way for one that failed.
func (p *Platform) comeBack(ctx context.Context, app hop3.App, old hop3.Release) error {
	if !app.Awake() {
		return nil
	}
	err := p.bringUp(context.WithoutCancel(ctx), old)
	if err != nil {
		p.Logger.Error("starting a release again", zap.String("app", old.App), zap.Int("release", old.Number), zap.Error(err))
	}
	return err
}
