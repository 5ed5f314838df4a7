package platform

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/idn"
)

// hostsOf returns the hosts of an app: <app>.<base domain> and those of
// HOST_NAME, normalized and each once. "_" stands for none.
func (p *Platform) hostsOf(app string, vars hop3.Env) []string {
	hosts := []string{hop3.HostLabel(app) + "." + p.Settings.BaseDomain}
	for _, h := range hostList(vars[hop3.HostName]) {
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// hostList splits the variable HOST_NAME: hosts, in any script, between blanks
// or commas, or "_" for none.
func hostList(value string) []string {
	var hosts []string
	for h := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if h = idn.Normalize(h); h != "_" && h != "" {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// checkHosts reports the first host that is none, or the server's own.
func (p *Platform) checkHosts(hosts []string) error {
	for _, h := range hosts {
		if err := idn.Validate(h); err != nil {
			return err
		}
		if h == p.Settings.ControlHost {
			return hop3.Errorf(hop3.CodeConflict, "%s is the server's own name", h)
		}
	}
	return nil
}

// checkClaims reports the first host that another app has, or is meant to have.
// Store.Commit has the last word: this is to say so before anything is built or
// started.
func (p *Platform) checkClaims(ctx context.Context, app string, hosts []string) error {
	if len(hosts) == 0 {
		return nil
	}
	claimed, err := p.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if owner := claimed[h]; owner != "" && owner != app {
			return hop3.Errorf(hop3.CodeConflict, "Hostname '%s' is already used by app '%s'.", idn.Show(h), owner)
		}
	}
	return p.checkIntended(ctx, app, hosts)
}

// checkIntended reports the first host that another app is to have, by its name
// or its HOST_NAME, and has not claimed since it was never deployed. The name
// that every app has under the server's own is its own whatever others want.
func (p *Platform) checkIntended(ctx context.Context, app string, hosts []string) error {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return err
	}
	own := p.hostsOf(app, nil)
	for _, other := range apps {
		if other.Name == app || other.Live != 0 {
			continue
		}
		for _, h := range p.hostsOf(other.Name, other.Env) {
			if !slices.Contains(hosts, h) || slices.Contains(own, h) {
				continue
			}
			e := hop3.Errorf(hop3.CodeConflict, "Hostname '%s' is meant for app '%s', which was not deployed yet.", idn.Show(h), other.Name)
			if slices.Contains(p.hostsOf(other.Name, nil), h) {
				return e
			}
			return e.WithHint("`hop3 domain remove %s --app %s` frees it.", h, other.Name)
		}
	}
	return nil
}

// ShownURL returns an address as people are told it: that of a host in another
// script has its name behind it.
func ShownURL(url string) string {
	_, host, _ := strings.Cut(url, "://")
	host, _, _ = strings.Cut(host, ":")
	if name := idn.Unicode(host); name != host {
		return url + " (" + name + ")"
	}
	return url
}

// urls returns the addresses people use, those of real domains first.
func (p *Platform) urls(hosts []string) []string {
	var public, local []string
	for _, h := range hosts {
		if strings.HasPrefix(h, "*.") {
			continue
		}
		if hop3.LocalHost(h) {
			local = append(local, p.url(h))
		} else {
			public = append(public, p.url(h))
		}
	}
	return append(public, local...)
}

// url returns the address of one host: https for real domains, http for local
// names, whose certificates no browser trusts by itself.
func (p *Platform) url(host string) string {
	s := p.Settings
	if s.HTTPSPort != 0 && (!hop3.LocalHost(host) || s.HTTPPort == 0) {
		return "https://" + host + portSuffix(s.HTTPSPort, 443)
	}
	return "http://" + host + portSuffix(s.HTTPPort, 80)
}

func portSuffix(port, standard int) string {
	if port == standard {
		return ""
	}
	return fmt.Sprintf(":%d", port)
}

// publicURL returns the https address of the first real domain, "" when the
// app has none.
func (p *Platform) publicURL(hosts []string) string {
	for _, h := range hosts {
		if !hop3.LocalHost(h) && !strings.HasPrefix(h, "*.") {
			return "https://" + h
		}
	}
	return ""
}
