package command

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func httpCommands() []Command {
	return []Command{
		{Name: "http", Summary: "What the proxy does with an app's requests", Who: User, Max: Any, Lenient: true, Run: httpPage},
		{Name: "http show", Summary: "Show what the proxy does with an app's requests", Who: Viewer, App: NeedsApp, Run: httpShow},
		{Name: "http set", Summary: "Change what the proxy does with an app's requests", Who: Deployer, Usage: "KEY=VALUE…", App: NeedsApp, Min: 1, Max: Any, Run: httpSet},
		{Name: "http unset", Summary: "Take settings of `http set` back", Who: Deployer, Usage: "KEY…", App: NeedsApp, Min: 1, Max: Any, Run: httpUnset},
		{Name: "http basic-auth add", Summary: "Ask visitors of an app for a password", Who: Deployer, Usage: "USER [PASSWORD]", App: NeedsApp, Min: 1, Max: 2, Run: httpAuthAdd,
			Flags: []Flag{{Name: "generate", Help: "make a password, and show it once"}}},
		{Name: "http basic-auth remove", Summary: "Take a visitor's password away", Who: Deployer, Usage: "USER", App: NeedsApp, Min: 1, Max: 1, Run: httpAuthRemove},
		{Name: "canary status", Summary: "Show how a release fares that is tried out", Who: Viewer, App: NeedsApp, Run: canaryStatus},
		{Name: "canary promote", Summary: "Let the release that is tried out serve all", Who: Deployer, App: NeedsApp, Run: canaryPromote},
		{Name: "canary abort", Summary: "Take the release that is tried out back", Who: Deployer, App: NeedsApp, Run: canaryAbort},
		{Name: "maintenance on", Summary: "Close an app to visitors", Who: Deployer, App: NeedsApp, Run: maintenanceOn,
			Flags: []Flag{{Name: "message", Value: "TEXT", Help: "what visitors read"}, {Name: "allow", Value: "NETWORK", Help: "who gets in nevertheless"}}},
		{Name: "maintenance off", Summary: "Open an app to visitors again", Who: Deployer, App: NeedsApp, Run: maintenanceOff},
	}
}

func httpPage(_ context.Context, c *Call) ([]api.Item, error) {
	if len(c.Args) > 0 {
		return nil, c.commands.unknown(append([]string{"http"}, c.Args...))
	}
	table := api.Table([]string{"Key", "Example"})
	for _, s := range hop3.HTTPSettingKeys {
		key := s.Key
		if strings.HasSuffix(key, ".") {
			key += "NAME"
		}
		table.Rows = append(table.Rows, []any{key, s.Example})
	}
	return []api.Item{api.Text("%s", c.commands.page("http")), api.Text("What can be set:"), table}, nil
}

func httpShow(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.HTTP(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	var items []api.Item
	if m := s.Maintenance; m != nil {
		items = append(items, api.Warning("'%s' is closed for maintenance; `hop3 maintenance off --app %s` opens it.", c.App, c.App))
	}
	table := api.Table([]string{"Key", "Value", "Source"})
	all := s.Layers.All()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		table.Rows = append(table.Rows, []any{key, all.Shown(key), layerOf(s.Layers, key)})
	}
	if len(table.Rows) == 0 {
		items = append(items, api.Text("Nothing special is done with the requests for '%s'.", c.App))
	} else {
		items = append(items, table)
	}
	for _, note := range s.Notes {
		items = append(items, api.Warning("%s", note))
	}
	return items, nil
}

// layerOf says where the value in force of a setting comes from.
func layerOf(l hop3.HTTPLayers, key string) string {
	for _, layer := range []struct {
		settings hop3.HTTPSettings
		name     string
	}{{l.Set, "command"}, {l.Declared, "hop3.toml"}, {l.Variables, "variables"}} {
		if _, ok := layer.settings[key]; ok {
			return layer.name
		}
	}
	return "[deploy]"
}

func httpSet(ctx context.Context, c *Call) ([]api.Item, error) {
	set := hop3.HTTPSettings{}
	for _, arg := range c.Args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, hop3.Errorf(hop3.CodeInvalid, "'%.80s' is not KEY=VALUE", arg).WithHint("Nothing was changed.")
		}
		if strings.HasPrefix(key, "basic-auth.") {
			return nil, hop3.Errorf(hop3.CodeInvalid, "Passwords are not set this way, where others could see them.").
				WithHint("`hop3 http basic-auth add USER --app %s` asks for one.", c.App)
		}
		set[key] = value
	}
	return c.changeHTTP(ctx, set, nil)
}

func httpUnset(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.changeHTTP(ctx, nil, c.Args)
}

func (c *Call) changeHTTP(ctx context.Context, set hop3.HTTPSettings, unset []string) ([]api.Item, error) {
	var out lines
	release, err := c.Platform.SetHTTP(ctx, c.Actor(), c.App, set, unset, &out)
	if err != nil {
		return nil, out.failed(err)
	}
	items := out.items()
	if release > 0 {
		items = append(items, api.Text("Release v%d is live with it.", release))
	}
	verb, keys := "set", slices.Sorted(maps.Keys(set))
	if set == nil {
		verb, keys = "unset", unset
	}
	return append(items, api.Summary("%s %s on %s.", verb, strings.Join(keys, ", "), c.App)), nil
}

func httpAuthAdd(ctx context.Context, c *Call) ([]api.Item, error) {
	if _, err := c.Platform.HTTP(ctx, c.Actor(), c.App); err != nil {
		return nil, err
	}
	user, password := c.Args[0], ""
	switch {
	case c.Has("generate"):
		password = rand.Text()
	case len(c.Args) == 2:
		password = c.Args[1]
	default:
		return nil, hop3.Errorf(hop3.CodeInvalid, "A password is needed.").
			WithHint("Give --generate, or --password-stdin and the password as input.")
	}
	hash, err := c.Platform.HashPassword(password)
	if err != nil {
		return nil, err
	}
	items, err := c.changeHTTP(ctx, hop3.HTTPSettings{"basic-auth." + user: hash}, nil)
	if err == nil && c.Has("generate") {
		items = append([]api.Item{api.Text("Password of %s (shown once): %s", user, password)}, items...)
	}
	return items, err
}

func httpAuthRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.changeHTTP(ctx, nil, []string{"basic-auth." + c.Args[0]})
}

func maintenanceOn(ctx context.Context, c *Call) ([]api.Item, error) {
	allow, err := hop3.ParseNetworks(strings.Join(c.flags["allow"], " "))
	if err != nil {
		return nil, err
	}
	m := &hop3.Maintenance{Message: c.Value("message"), Allow: allow}
	if err := c.Platform.SetMaintenance(ctx, c.Actor(), c.App, m); err != nil {
		return nil, err
	}
	return []api.Item{api.Summary("closed %s for maintenance.", c.App)}, nil
}

func maintenanceOff(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.SetMaintenance(ctx, c.Actor(), c.App, nil); err != nil {
		return nil, err
	}
	return []api.Item{api.Summary("opened %s.", c.App)}, nil
}

func canaryStatus(ctx context.Context, c *Call) ([]api.Item, error) {
	s, err := c.Platform.Canary(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	table := api.Table([]string{"Release", "Share", "Since", "Of", "Requests", "Errors", "p99"})
	table.Rows = append(table.Rows, []any{fmt.Sprintf("v%d", s.Release), fmt.Sprintf("%d%%", s.Canary.Percent), s.Since.Round(time.Second).String(), s.Canary.For.String(),
		s.Verdict.Requests, fmt.Sprintf("%.3g%%", s.Verdict.ErrorRate()), s.Verdict.P99.Round(100 * time.Microsecond).String()})
	return []api.Item{api.Text("v%d of '%s' is tried out beside v%d.", s.Release, c.App, s.Live), table}, nil
}

func canaryPromote(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.DecideCanary(ctx, c.Actor(), c.App, true); err != nil {
		return nil, err
	}
	return []api.Item{api.Summary("promoted the canary of %s; its deploy goes on.", c.App)}, nil
}

func canaryAbort(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.DecideCanary(ctx, c.Actor(), c.App, false); err != nil {
		return nil, err
	}
	return []api.Item{api.Summary("took the canary of %s back; its deploy fails.", c.App)}, nil
}
