package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// FirewallStatus is the firewall of one app.
type FirewallStatus struct {
	App  string
	WAF  hop3.WAF
	Bans int // that hold
}

// checkFirewall refuses a firewall that could not be applied: with patterns,
// rules or networks that there are none of. Nothing is changed.
func (p *Platform) checkFirewall(ctx context.Context, w *hop3.WAF) error {
	if w == nil {
		return nil
	}
	if p.Firewall == nil {
		return hop3.Errorf(hop3.CodeInvalid, "the proxy of this server has no web application firewall, and the app would be open without it").
			WithHint("Set enabled = false in [waf] of hop3.toml to deploy it so.")
	}
	if err := p.Firewall.Check(*w); err != nil {
		return fmt.Errorf("[waf] of hop3.toml: %w", err)
	}
	known, err := p.Store.Networks(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range w.Networks() {
		if !slices.ContainsFunc(known, func(n hop3.Network) bool { return n.Name == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return hop3.Errorf(hop3.CodeInvalid, "[[waf.gate]] of hop3.toml requires a network that this server does not know: %s", strings.Join(missing, ", ")).
			WithHint("`hop3 networks` lists those that there are; the server's admin adds one with `hop3 network add %s CIDR…`.", missing[0])
	}
	return nil
}

// tellFirewall says what stands in front of an app.
func tellFirewall(out hop3.Output, w *hop3.WAF) {
	switch {
	case w == nil:
	case w.Detect:
		tell(out, 1, "yellow", "       The firewall only watches: [waf].mode is detect")
	default:
		say(out, "       The firewall blocks, at paranoia %d", w.Paranoia)
	}
}

// loadFirewall tells the firewall what is stored: the networks and the bans.
// Without them, gates are closed to everybody.
func (p *Platform) loadFirewall(ctx context.Context) error {
	if p.Firewall == nil {
		return nil
	}
	return errors.Join(p.loadNetworks(ctx), p.ReconcileBans(ctx))
}

func (p *Platform) loadNetworks(ctx context.Context) error {
	list, err := p.Store.Networks(ctx)
	if err == nil && p.Firewall != nil {
		p.Firewall.SetNetworks(list)
	}
	return err
}

// Networks returns the named networks, ordered by name.
func (p *Platform) Networks(ctx context.Context) ([]hop3.Network, error) {
	return p.Store.Networks(ctx)
}

// Network returns a named network and the apps whose gates are open to it.
func (p *Platform) Network(ctx context.Context, who Actor, name string) (n hop3.Network, apps []string, err error) {
	list, err := p.Store.Networks(ctx)
	if err != nil {
		return n, nil, err
	}
	i := slices.IndexFunc(list, func(n hop3.Network) bool { return n.Name == name })
	if i < 0 {
		return n, nil, hop3.Errorf(hop3.CodeNotFound, "There is no network '%.80s'.", printable(name)).WithHint("`hop3 networks` lists those that there are.")
	}
	live, err := p.liveFirewalls(ctx, who)
	for _, r := range live {
		if slices.Contains(r.WAF.Networks(), name) {
			apps = append(apps, r.App)
		}
	}
	return list[i], apps, err
}

// AddNetwork gives addresses a name, or a name other addresses. Gates that name
// it have them at once.
func (p *Platform) AddNetwork(ctx context.Context, who Actor, name string, cidrs []string) (hop3.Network, error) {
	if err := adminOnly(who); err != nil {
		return hop3.Network{}, err
	}
	n := hop3.Network{Name: name}
	if err := hop3.ValidateNetworkName(name); err != nil {
		return n, err
	}
	var err error
	if n.CIDRs, err = hop3.ParseNetworks(strings.Join(cidrs, " ")); err != nil {
		return n, err
	}
	if len(n.CIDRs) == 0 || len(n.CIDRs) > mostCIDRs {
		return n, hop3.Errorf(hop3.CodeInvalid, "a network has 1 to %d addresses such as 203.0.113.0/24 or 2001:db8::/32", mostCIDRs)
	}
	slices.Sort(n.CIDRs)
	n.CIDRs = slices.Compact(n.CIDRs)
	p.networks.Lock()
	defer p.networks.Unlock()
	if err := p.Store.SetNetwork(ctx, n); err != nil {
		return n, err
	}
	p.happened(event(ctx, hop3.EventServerChanged, "", "the network '%s' is %s", n.Name, strings.Join(n.CIDRs, ", ")))
	return n, p.loadNetworks(context.WithoutCancel(ctx))
}

const mostCIDRs = 1000

// RemoveNetwork forgets a network that no gate of a live release names.
func (p *Platform) RemoveNetwork(ctx context.Context, who Actor, name string) error {
	if err := adminOnly(who); err != nil {
		return err
	}
	p.networks.Lock()
	defer p.networks.Unlock()
	_, apps, err := p.Network(ctx, who, name)
	if err != nil {
		return err
	}
	if len(apps) > 0 {
		return hop3.Errorf(hop3.CodeConflict, "Gates of %s are open to the network '%s' alone.", strings.Join(apps, ", "), name).
			WithHint("Take it out of [[waf.gate]] of their hop3.toml first, or give it other addresses with `hop3 network add`.")
	}
	if err := p.Store.DeleteNetwork(ctx, name); err != nil {
		return err
	}
	p.happened(event(ctx, hop3.EventServerChanged, "", "the network '%s' was removed", name))
	return p.loadNetworks(context.WithoutCancel(ctx))
}

// liveFirewalls returns the live releases that have a firewall, by app, as far
// as the caller may see the apps.
func (p *Platform) liveFirewalls(ctx context.Context, who Actor) ([]hop3.Release, error) {
	apps, err := p.visible(ctx, who)
	if err != nil {
		return nil, err
	}
	var live []hop3.Release
	for _, app := range apps {
		if app.Live == 0 {
			continue
		}
		r, err := p.Store.Release(ctx, app.Name, app.Live)
		if err != nil {
			return nil, err
		}
		if r.WAF != nil {
			live = append(live, r)
		}
	}
	return live, nil
}

// Firewalls returns the firewalls there are, ordered by app.
func (p *Platform) Firewalls(ctx context.Context, who Actor) ([]FirewallStatus, error) {
	live, err := p.liveFirewalls(ctx, who)
	if err != nil {
		return nil, err
	}
	bans, err := p.Store.Bans(ctx, p.now())
	if err != nil {
		return nil, err
	}
	var list []FirewallStatus
	for _, r := range live {
		s := FirewallStatus{App: r.App, WAF: *r.WAF}
		for _, ban := range bans {
			if ban.App == r.App {
				s.Bans++
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// FirewallEvents returns the last n requests that were refused, of all apps
// when app is "", the oldest first. Nothing in them drives a terminal.
func (p *Platform) FirewallEvents(ctx context.Context, who Actor, app string, n int) ([]hop3.WAFEvent, error) {
	if app != "" {
		if err := p.may(ctx, who, app, hop3.RoleViewer); err != nil {
			return nil, err
		}
	}
	names, err := p.AppNames(ctx, who)
	if err != nil {
		return nil, err
	}
	if p.Firewall == nil {
		return nil, nil
	}
	events, err := p.Firewall.Events(app, n)
	if !who.Admin {
		events = slices.DeleteFunc(events, func(e hop3.WAFEvent) bool { return !slices.Contains(names, e.App) })
	}
	for i := range events {
		e := &events[i]
		for _, text := range []*string{&e.App, &e.Source, &e.Action, &e.Rule, &e.Method, &e.Path, &e.Request} {
			*text = printable(strings.ReplaceAll(*text, "\n", " "))
		}
	}
	return events, err
}

// Bans returns the bans that hold, ordered by app and source.
func (p *Platform) Bans(ctx context.Context, who Actor) ([]hop3.Ban, error) {
	names, err := p.AppNames(ctx, who)
	if err != nil {
		return nil, err
	}
	bans, err := p.Store.Bans(ctx, p.now())
	return slices.DeleteFunc(bans, func(b hop3.Ban) bool { return !slices.Contains(names, b.App) }), err
}

// ClearBans opens an app to a client that it is closed to, to all of them when
// source is "", and returns how many bans that ends.
func (p *Platform) ClearBans(ctx context.Context, who Actor, app, source string) (int, error) {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return 0, err
	}
	if source != "" {
		if p.Firewall == nil {
			return 0, nil
		}
		normal, ok := p.Firewall.BanSource(source)
		if !ok {
			return 0, hop3.Errorf(hop3.CodeInvalid, "'%.80s' is no address", printable(source)).WithHint("`hop3 waf bans list` shows who is banned.")
		}
		source = normal
	}
	n, err := p.Store.DeleteBans(ctx, app, source)
	if err != nil {
		return 0, err
	}
	p.happened(event(ctx, hop3.EventConfigChanged, app, "%d bans were lifted", n))
	return n, p.ReconcileBans(context.WithoutCancel(ctx))
}

// ReconcileBans makes the bans in force those that are stored.
func (p *Platform) ReconcileBans(ctx context.Context) error {
	if p.Firewall == nil {
		return nil
	}
	return p.Firewall.LoadBans(func() ([]hop3.Ban, error) { return p.Store.Bans(ctx, p.now()) })
}

// SaveBan stores a ban that the firewall has begun. It is the firewall's to
// call.
func (p *Platform) SaveBan(b hop3.Ban) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.Logger.Warn("a client was banned", zap.String("app", b.App), zap.String("source", b.Source), zap.Time("until", b.Expires))
	return p.Store.SaveBan(ctx, b)
}

// forgetFirewall forgets what the firewall knows of an app that is no more.
func (p *Platform) forgetFirewall(app string) error {
	if p.Firewall == nil {
		return nil
	}
	return p.Firewall.ForgetApp(app)
}
