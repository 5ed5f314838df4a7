package platform

import (
	"context"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

// Severity says how bad something is.
type Severity string

// The severities.
const (
	SeverityOK   Severity = "ok"
	SeverityWarn Severity = "warn"
	SeverityFail Severity = "fail"
)

// StatusItem is one thing that was looked at.
type StatusItem struct {
	Section, Name string
	Severity      Severity
	Detail        string
}

// Status looks at the server and all its apps: for administrators.
func (p *Platform) Status(ctx context.Context, who Actor) ([]StatusItem, error) {
	if err := adminOnly(who); err != nil {
		return nil, err
	}
	var all []StatusItem
	add := func(section, name string, s Severity, format string, args ...any) {
		all = append(all, StatusItem{section, name, s, fmt.Sprintf(format, args...)})
	}
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	add("Server", "database", SeverityOK, "it answers")
	left, enough, err := p.room()
	free := fmt.Sprintf("%d MB and %d files are free; a deploy needs %d MB and %d", left.bytes>>20, left.files, p.Settings.MinFreeSpace>>20, p.Settings.MinFreeFiles)
	switch {
	case err != nil:
		add("Server", "disk", SeverityWarn, "%s", hop3.MessageOf(err))
	case !enough:
		add("Server", "disk", SeverityFail, "%s", free)
	default:
		add("Server", "disk", SeverityOK, "%s", free)
	}
	if proxy, err := p.ProxyStatus(); err == nil {
		if proxy.Running {
			add("Server", "proxy", SeverityOK, "%s", proxy.Name)
		} else {
			add("Server", "proxy", SeverityFail, "%s does not run, the server itself serves instead: %s", proxy.Name, proxy.Trouble)
		}
	}
	for _, c := range []struct {
		name string
		why  error
	}{{"isolation of apps", p.Settings.NotIsolated}, {"limits of apps", p.Settings.LimitsMissing}} {
		if c.why != nil {
			add("Server", c.name, SeverityWarn, "%s", hop3.MessageOf(c.why))
		} else {
			add("Server", c.name, SeverityOK, "enforced")
		}
	}
	for _, app := range apps {
		switch {
		case app.State == hop3.StateFailed:
			add("Apps", app.Name, SeverityFail, "%s: %s", app.State, oneLine(app.Error))
		case app.Error != "":
			add("Apps", app.Name, SeverityWarn, "%s: %s", app.State, oneLine(app.Error))
		default:
			add("Apps", app.Name, SeverityOK, "%s", app.State)
		}
		hosts, err := p.liveHosts(ctx, app)
		if err != nil {
			continue // an app that was never live has none
		}
		for _, trouble := range p.certificateTroubles(ctx, hosts) {
			add("Certificates", app.Name, SeverityWarn, "%s", trouble)
		}
	}
	return all, nil
}
