package platform

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// factsOf returns what is known of an addon by name: its variables, and url,
// host, port, user, password and name, where it has these.
func factsOf(provider hop3.AddonProvider, a hop3.Addon) map[string]string {
	facts := map[string]string{}
	end := provider.Endpoint(a)
	facts["url"], facts["host"] = end.URL, end.Host
	if end.Port != 0 {
		facts["port"] = strconv.Itoa(end.Port)
	}
	if u, err := url.Parse(end.URL); err == nil {
		if u.User != nil {
			facts["user"] = u.User.Username()
			facts["password"], _ = u.User.Password()
		}
		facts["name"] = strings.TrimPrefix(u.Path, "/")
	}
	for key, value := range facts {
		if value == "" {
			delete(facts, key)
		}
	}
	for key, value := range provider.Variables(a) {
		facts[key] = value
	}
	return facts
}

// addonFacts returns what references to an app's addons may refer to:
// "db.url", "db.host", "db.DATABASE_URL".
func (p *Platform) addonFacts(ctx context.Context, app string) (map[string]string, error) {
	list, err := p.Store.AttachmentsOf(ctx, app)
	if err != nil {
		return nil, err
	}
	facts := map[string]string{}
	for _, at := range list {
		a, err := p.Store.Addon(ctx, at.Addon())
		if err != nil {
			return nil, err
		}
		provider, err := p.provider(a.Type)
		if err != nil {
			return nil, err
		}
		known := factsOf(provider, a)
		for _, name := range []string{strings.TrimPrefix(a.Name, app+"-"), a.Name} {
			for key, value := range known {
				facts[name+"."+key] = value
			}
		}
	}
	return facts, nil
}
