package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/abilian/hop3/hop3"
)

// Exposer opens ports of the server to addons. See hop3/expose.
type Exposer interface {
	// Open opens a port for an addon, in place of the one it had. It returns a
	// CodeConflict error when something else listens there.
	Open(id hop3.AddonID, p hop3.OpenPort) error
	// Close closes it, with the connections through it.
	Close(id hop3.AddonID)
}

// The ports that exposed addons get.
const firstExposed, lastExposed = 15000, 15999

// ExposeAddon lets a network reach an addon by a port of the server, and
// returns that. One that is exposed keeps its port, for the new source.
func (p *Platform) ExposeAddon(ctx context.Context, who Actor, id hop3.AddonID, source string) (hop3.Exposure, error) {
	a, err := p.ownAddon(ctx, who, id)
	if err != nil {
		return hop3.Exposure{}, err
	}
	if source == "" {
		source = p.Settings.ExposeSource
	}
	if source == "" {
		return hop3.Exposure{}, hop3.Errorf(hop3.CodeInvalid, "Who may reach it? Give --source NETWORK, or --source any.")
	}
	end := a.provider.Endpoint(a.Addon)
	target := net.JoinHostPort(end.Host, strconv.Itoa(end.Port))
	if end.Port == 0 || !local(end.Host) {
		return hop3.Exposure{}, hop3.Errorf(hop3.CodeInvalid, "The addon %s is not on this server, but at %s.", id, target)
	}
	sources, err := hop3.ExposureSources(source)
	if err != nil {
		return hop3.Exposure{}, err
	}
	unlock, err := p.lockAddon(ctx, id)
	if err != nil {
		return hop3.Exposure{}, err
	}
	defer unlock()
	port, err := p.openPort(ctx, a.Addon, hop3.OpenPort{Target: target, Sources: sources})
	if err != nil {
		return hop3.Exposure{}, err
	}
	exposed := hop3.Exposure{Port: port, Source: source}
	_, err = p.Store.UpdateAddon(ctx, id, func(a *hop3.Addon) error {
		a.Exposed = &exposed
		return nil
	}, addonEvent(asked(ctx, who), hop3.EventAddonChanged, id, "", "the addon %s can be reached by port %d from %s", id, port, source))
	if err != nil {
		p.Exposer.Close(id)
	}
	return exposed, err
}

// UnexposeAddon ends it, with the connections there are.
func (p *Platform) UnexposeAddon(ctx context.Context, who Actor, id hop3.AddonID) error {
	a, err := p.ownAddon(ctx, who, id)
	if err != nil {
		return err
	}
	if a.Exposed == nil {
		return hop3.Errorf(hop3.CodeConflict, "The addon %s is not exposed.", id)
	}
	_, err = p.Store.UpdateAddon(ctx, id, func(a *hop3.Addon) error {
		a.Exposed = nil
		return nil
	}, addonEvent(asked(ctx, who), hop3.EventAddonChanged, id, "", "the addon %s can only be reached from this server", id))
	if err == nil {
		p.Exposer.Close(id)
	}
	return err
}

// ownAddon returns an addon whose owners the actor belongs to, which is more
// than to deploy an app that has it.
func (p *Platform) ownAddon(ctx context.Context, who Actor, id hop3.AddonID) (seenAddon, error) {
	a, err := p.readyAddon(ctx, who, id, hop3.RoleDeployer)
	if err == nil && a.lent {
		err = hop3.Errorf(hop3.CodeForbidden, "You may use the addon %s, and not change it.", id).
			WithHint("A deployer of the team '%s' may.", a.Team)
	}
	return a, err
}

// openPort opens the port an addon has, or the first that is free.
func (p *Platform) openPort(ctx context.Context, a hop3.Addon, open hop3.OpenPort) (int, error) {
	if p.Exposer == nil {
		return 0, errors.New("this server cannot open ports")
	}
	if a.Exposed != nil {
		open.Port = a.Exposed.Port
		return open.Port, p.Exposer.Open(a.ID(), open)
	}
	taken, err := p.exposedPorts(ctx)
	if err != nil {
		return 0, err
	}
	for port := firstExposed; port <= lastExposed; port++ {
		if taken[port] {
			continue
		}
		open.Port = port
		err := p.Exposer.Open(a.ID(), open)
		if hop3.CodeOf(err) == hop3.CodeConflict {
			continue
		}
		return port, err
	}
	return 0, hop3.Errorf(hop3.CodeUnavailable, "No port from %d to %d is free.", firstExposed, lastExposed)
}

// exposedPorts are those that addons and apps have.
func (p *Platform) exposedPorts(ctx context.Context) (map[int]bool, error) {
	taken := map[int]bool{}
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range addons {
		if a.Exposed != nil {
			taken[a.Exposed.Port] = true
		}
	}
	claims, err := p.Store.Ports(ctx)
	for _, c := range claims {
		taken[c.Number] = true
	}
	return taken, err
}

// openExposed opens the ports of all exposed addons, when the server starts.
func (p *Platform) openExposed(ctx context.Context) error {
	addons, err := p.Store.Addons(ctx)
	if err != nil {
		return err
	}
	for _, a := range addons {
		if a.Exposed == nil || a.Status != hop3.AddonReady {
			continue
		}
		if e := p.reopen(ctx, a); e != nil {
			err = errors.Join(err, fmt.Errorf("opening the port of the addon %s: %w", a.ID(), e))
		}
	}
	return err
}

func (p *Platform) reopen(ctx context.Context, a hop3.Addon) error {
	provider, err := p.provider(a.Type)
	if err != nil {
		return err
	}
	sources, err := hop3.ExposureSources(a.Exposed.Source)
	if err != nil {
		return err
	}
	end := provider.Endpoint(a)
	_, err = p.openPort(ctx, a, hop3.OpenPort{Target: net.JoinHostPort(end.Host, strconv.Itoa(end.Port)), Sources: sources})
	return err
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
