package platform

import (
	"context"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// ProxyStatus tells which proxy serves and how it is.
func (p *Platform) ProxyStatus(who Actor) (hop3.ProxyStatus, error) {
	if err := adminOnly(who); err != nil {
		return hop3.ProxyStatus{}, err
	}
	s, err := p.proxySwitch()
	if err != nil {
		return hop3.ProxyStatus{Name: p.Proxy.Name(), Choices: []string{p.Proxy.Name()}, Running: true}, nil
	}
	return s.Status(), nil
}

// CheckProxy says whether a proxy could serve all apps now. An error tells what
// speaks against it: that it is not installed, that it refuses its files, or
// what it cannot do of that which apps ask for, by app. Nothing changes.
func (p *Platform) CheckProxy(ctx context.Context, who Actor, name string) error {
	if err := adminOnly(who); err != nil {
		return err
	}
	s, err := p.proxySwitch()
	if err != nil {
		return err
	}
	return s.Check(ctx, name)
}

// SetProxy makes another proxy the one that serves, now and after the next
// start, while all apps stay reachable. When that fails, the one of before
// goes on.
func (p *Platform) SetProxy(ctx context.Context, who Actor, name string, out hop3.Output) error {
	if err := adminOnly(who); err != nil {
		return err
	}
	s, err := p.proxySwitch()
	if err != nil {
		return err
	}
	before := p.Proxy.Name()
	say(out, "-----> Switching from %s to %s", before, name)
	if err := s.Switch(ctx, name); err != nil {
		return err
	}
	p.happened(event(ctx, hop3.EventServerChanged, "", "the proxy is %s, it was %s", name, before))
	p.Logger.Info("another proxy", zap.String("before", before), zap.String("now", name), zap.String("by", who.Username))
	say(out, "-----> %s serves", name)
	return nil
}

func (p *Platform) proxySwitch() (hop3.ProxySwitch, error) {
	s, ok := p.Proxy.(hop3.ProxySwitch)
	if !ok {
		return nil, hop3.Errorf(hop3.CodeConflict, "the proxy of this server is %s, a module that was chosen in its configuration; no other can take its place while it runs", p.Proxy.Name())
	}
	return s, nil
}
