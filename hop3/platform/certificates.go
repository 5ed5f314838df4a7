package platform

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/idn"
)

// HostCertificate is the certificate of a host of an app.
type HostCertificate struct {
	App string
	hop3.Certificate
}

// Certificates returns what is known of the certificates of an app's hosts, or
// of those of all apps when app is "".
func (p *Platform) Certificates(ctx context.Context, who Actor, app string) ([]HostCertificate, error) {
	var apps []hop3.App
	if app == "" {
		all, err := p.visible(ctx, who)
		if err != nil {
			return nil, err
		}
		apps = all
	} else {
		one, _, err := p.app(ctx, who, app, hop3.RoleViewer)
		if err != nil {
			return nil, err
		}
		apps = append(apps, one)
	}
	var out []HostCertificate
	for _, a := range apps {
		hosts, err := p.liveHosts(ctx, a)
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			out = append(out, HostCertificate{a.Name, p.Certs.Certificate(ctx, h)})
		}
	}
	return out, nil
}

// liveHosts returns the hosts of an app's live release; none before the first.
func (p *Platform) liveHosts(ctx context.Context, app hop3.App) ([]string, error) {
	if app.Live == 0 {
		return nil, nil
	}
	live, err := p.Store.Release(ctx, app.Name, app.Live)
	return live.Hosts, err
}

// RenewCertificates gets new certificates for the app's hosts, of all apps
// when app is "": for those that have none, or one that ends within a time, or
// all with force. It waits, says how each went, and returns an error when one
// failed. What users brought is left alone.
func (p *Platform) RenewCertificates(ctx context.Context, who Actor, app string, within time.Duration, force bool, out hop3.Output) error {
	certificates, err := p.Certificates(ctx, who, app)
	if err == nil && app != "" {
		err = p.may(ctx, who, app, hop3.RoleDeployer)
	}
	if err == nil && app == "" {
		certificates = slices.DeleteFunc(certificates, func(c HostCertificate) bool { return p.may(ctx, who, c.App, hop3.RoleDeployer) != nil })
	}
	if err != nil {
		return err
	}
	p.happened(event(ctx, hop3.EventCertificateAsked, app, "certificates were asked for by hand"))
	var failed []string
	for _, c := range certificates {
		name := idn.Show(c.Host)
		switch {
		case c.Kind == hop3.CertificateCustom:
			say(out, "%s has a certificate of its own", name)
			continue
		case hop3.LocalHost(strings.TrimPrefix(c.Host, "*.")):
			continue // by our own authority, as soon as it is needed
		case !force && c.Kind != "" && time.Until(c.NotAfter) > within:
			say(out, "%s is good until %s", name, c.NotAfter.UTC().Format(time.DateOnly))
			continue
		}
		say(out, "Getting a certificate for %s", name)
		if err := p.Certs.Obtain(ctx, c.Host, c.Kind != ""); err != nil {
			failed = append(failed, c.Host)
			tell(out, 0, "red", "%s: %s", name, hop3.MessageOf(err))
			continue
		}
		c.Certificate = p.Certs.Certificate(ctx, c.Host)
		tell(out, 1, "green", "%s has a certificate by %s until %s", name, c.Issuer, c.NotAfter.UTC().Format(time.DateOnly))
	}
	if len(failed) > 0 {
		return hop3.Errorf(hop3.CodeUnavailable, "No certificate for %s.", strings.Join(failed, ", "))
	}
	return nil
}

// WaitForCertificates looks up and gets what visitors of these new hosts need,
// telling each step, and returns the first reason why one of them has no
// certificate.
func (p *Platform) WaitForCertificates(ctx context.Context, hosts []string, out hop3.Output) error {
	var first error
	for _, host := range hosts {
		if !hop3.LocalHost(host) {
			p.tellAddresses(ctx, host, out)
		}
		say(out, "-----> Getting a certificate for %s", idn.Show(host))
		if err := p.Certs.Obtain(ctx, host, false); err != nil {
			tell(out, 0, "red", "       %s", hop3.MessageOf(err))
			if first == nil {
				first = err
			}
			continue
		}
		c := p.Certs.Certificate(ctx, host)
		tell(out, 1, "green", "       Issued by %s, good until %s", c.Issuer, c.NotAfter.UTC().Format(time.DateOnly))
	}
	return first
}

// tellMissing says which of the new hosts cannot have a certificate as the
// server is.
func (p *Platform) tellMissing(ctx context.Context, hosts []string, out hop3.Output) {
	for _, h := range hosts {
		if c := p.Certs.Certificate(ctx, h); c.Kind == "" && c.Error != "" && c.NextTry.IsZero() {
			tell(out, 1, "yellow", "       Warning: %s", oneLine(c.Error))
		}
	}
}

// tellAddresses says where a host points to, next to where this machine is: a
// wrong record is why most certificates are refused.
func (p *Platform) tellAddresses(ctx context.Context, host string, out hop3.Output) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	points, own, err := p.Certs.Addresses(ctx, strings.TrimPrefix(host, "*."))
	if err != nil {
		tell(out, 1, "yellow", "       %s cannot be looked up from here: %v", host, err)
		return
	}
	for _, a := range points {
		if slices.Contains(own, a) {
			say(out, "       %s points to %s, which is this machine", host, a)
			return
		}
	}
	tell(out, 1, "yellow", "       %s points to %s; this machine has %s. That is right only behind a router or a load balancer.",
		host, strings.Join(points, ", "), strings.Join(own, ", "))
}

// AddCertificate has an app use a certificate that its user brings.
func (p *Platform) AddCertificate(ctx context.Context, who Actor, name string, chain, key []byte) (hop3.Certificate, error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return hop3.Certificate{}, err
	}
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return hop3.Certificate{}, err
	}
	defer unlock()
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return hop3.Certificate{}, err
	}
	hosts, err := p.liveHosts(ctx, app)
	if err != nil {
		return hop3.Certificate{}, err
	}
	if len(hosts) == 0 {
		hosts = p.hostsOf(name, app.Env)
	}
	c, err := p.Certs.AddCustom(name, hosts, chain, key)
	if err == nil {
		p.happened(event(ctx, hop3.EventCertificateAdded, name, "a certificate for %s was added, good until %s", c.Host, c.NotAfter.UTC().Format(time.DateOnly)))
	}
	return c, err
}

// RemoveCertificate takes away those the app's user brought that are good for a
// host, which then gets one like others do.
func (p *Platform) RemoveCertificate(ctx context.Context, who Actor, name, host string) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	err := p.Certs.RemoveCustom(name, idn.Normalize(host))
	if err == nil {
		p.happened(event(ctx, hop3.EventCertificateRemoved, name, "the certificates of one's own for %s were removed", idn.Normalize(host)))
	}
	return err
}

// wantCertificates begins to get certificates for hosts that users gave an app.
// Those of the names under the server's own wait for a visitor: there may be
// many, and authorities count.
func (p *Platform) wantCertificates(hosts []string) {
	p.Go("certificates", func(ctx context.Context) {
		p.Certs.Want(ctx, slices.DeleteFunc(slices.Clone(hosts), func(h string) bool {
			return strings.HasSuffix(h, "."+p.Settings.BaseDomain)
		})...)
	})
}

// certificateTroubles says what is wrong with the certificates of hosts, for
// the status of their app.
func (p *Platform) certificateTroubles(ctx context.Context, hosts []string) []string {
	const soon = 14 * 24 * time.Hour
	var out []string
	for _, h := range hosts {
		if hop3.LocalHost(h) {
			continue
		}
		c := p.Certs.Certificate(ctx, h)
		switch {
		case c.Error != "":
			text := oneLine(c.Error)
			if !c.NextTry.IsZero() {
				text += fmt.Sprintf(" (next attempt at %s UTC)", c.NextTry.UTC().Format(time.TimeOnly))
			}
			out = append(out, text)
		case c.Kind == "":
		case time.Now().After(c.NotAfter):
			out = append(out, fmt.Sprintf("the certificate for %s expired on %s", h, c.NotAfter.UTC().Format(time.DateOnly)))
		case c.Kind == hop3.CertificateCustom && time.Until(c.NotAfter) < soon:
			out = append(out, fmt.Sprintf("the certificate for %s expires on %s, and only `hop3 cert add` replaces it", h, c.NotAfter.UTC().Format(time.DateOnly)))
		}
	}
	return out
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", " ") }
