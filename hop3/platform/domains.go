package platform

import (
	"context"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/idn"
)

// DomainChange is what a change of an app's hosts did.
type DomainChange struct {
	Added, Removed []string
	Release        int // the new live release; 0 when nothing runs, or nothing changed
}

// AddDomains gives an app hosts beside those it has. Like every change of its
// hosts it is one of HOST_NAME: a running app gets it at once, by a new
// release, and a host of another app is a CodeConflict error that changes
// nothing.
func (p *Platform) AddDomains(ctx context.Context, who Actor, app string, hosts []string, out hop3.Output) (DomainChange, error) {
	return p.changeDomains(ctx, who, app, out, func(have []string) ([]string, error) {
		return append(have, hosts...), nil
	})
}

// RemoveDomains takes hosts from an app. One it does not have is a CodeNotFound
// error that changes nothing.
func (p *Platform) RemoveDomains(ctx context.Context, who Actor, app string, hosts []string, out hop3.Output) (DomainChange, error) {
	return p.changeDomains(ctx, who, app, out, func(have []string) ([]string, error) {
		for _, h := range hosts {
			i := slices.Index(have, idn.Normalize(h))
			switch {
			case i >= 0:
				have = slices.Delete(have, i, i+1)
			case slices.Contains(p.hostsOf(app, nil), idn.Normalize(h)):
				return nil, hop3.Errorf(hop3.CodeInvalid, "%s is the name that every app has under the server's own; it cannot be taken away.", h)
			default:
				return nil, hop3.Errorf(hop3.CodeNotFound, "App '%s' does not have the host %s.", app, h).
					WithHint("`hop3 domain list --app %s` shows those it has.", app)
			}
		}
		return have, nil
	})
}

// SetDomains makes hosts all that an app has, beside the one under the server's
// own name. With none it has only that, whatever its manifest says.
func (p *Platform) SetDomains(ctx context.Context, who Actor, app string, hosts []string, out hop3.Output) (DomainChange, error) {
	return p.changeDomains(ctx, who, app, out, func([]string) ([]string, error) { return hosts, nil })
}

func (p *Platform) changeDomains(ctx context.Context, who Actor, app string, out hop3.Output, change func(have []string) ([]string, error)) (DomainChange, error) {
	var before, after []string
	edit := func(current hop3.Env) (hop3.Env, []string, error) {
		before = hostList(current[hop3.HostName])
		want, err := change(slices.Clone(before))
		if err != nil {
			return nil, nil, err
		}
		// Joined and split again: what is asked for may be no host at all.
		value := strings.Join(want, " ")
		if after = unique(hostList(value)); slices.Equal(before, after) {
			return nil, nil, nil
		}
		if value = strings.Join(after, " "); value == "" {
			value = "_" // not unset: that would be the manifest's again
		}
		return hop3.Env{hop3.HostName: value}, nil, nil
	}
	changed, err := p.editEnv(ctx, who, app, edit, out)
	if err != nil {
		return DomainChange{}, err
	}
	added := without(after, before)
	p.tellMissing(ctx, added, out)
	return DomainChange{Added: added, Removed: without(before, after), Release: changed.Release}, nil
}

// unique returns the values in order, each once.
func unique(values []string) []string {
	var out []string
	for _, v := range values {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// without returns the values that are not among the others.
func without(values, others []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return slices.Contains(others, v) })
}
