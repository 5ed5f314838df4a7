package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func envCommands() []Command {
	return []Command{
		{Name: "env show", Aliases: []string{"config show"}, Summary: "Show an app's variables", Who: Viewer, App: NeedsApp, Run: envShow,
			Flags: []Flag{{Name: "show-secrets", Help: "do not hide values", Who: Deployer}, {Name: "sources", Help: "all that its processes get, and where it comes from"}, previewFlag}},
		{Name: "env live", Aliases: []string{"config live"}, Summary: "Show what a running app's processes have", Who: Deployer, App: NeedsApp, Run: envLive,
			Flags: []Flag{{Name: "show-secrets", Help: "do not hide values", Who: Deployer}}},
		{Name: "env get", Aliases: []string{"config get"}, Summary: "Show one variable as it is", Who: Deployer, Usage: "KEY", App: NeedsApp, Min: 1, Max: 1, Run: envGet},
		{Name: "env set", Aliases: []string{"config set"}, Summary: "Set variables and restart with them", Who: Deployer, Usage: "KEY=VALUE…", App: NeedsApp, Min: 1, Max: Any, Run: envSet, Flags: []Flag{previewFlag}},
		{Name: "env unset", Aliases: []string{"config unset"}, Summary: "Remove variables and restart without them", Who: Deployer, Usage: "KEY…", App: NeedsApp, Min: 1, Max: Any, Run: envUnset, Flags: []Flag{previewFlag}},
	}
}

func envShow(ctx context.Context, c *Call) ([]api.Item, error) {
	if c.Has(previewFlag.Name) {
		return c.previewEnv(ctx)
	}
	if c.Has("sources") {
		return envSources(ctx, c)
	}
	env, err := c.Platform.Env(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(env) == 0 {
		return []api.Item{api.Text("No configuration set for '%s'.", c.App)}, nil
	}
	return c.envTable(fmt.Sprintf("Configured environment for '%s':", c.App), env), nil
}

func envLive(ctx context.Context, c *Call) ([]api.Item, error) {
	env, runtime, err := c.Platform.LiveEnv(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	return c.envTable(fmt.Sprintf("Live environment for '%s' (runtime: %s):", c.App, runtime), env), nil
}

func (c *Call) envTable(title string, env hop3.Env) []api.Item {
	table := api.Table([]string{"Key", "Value"})
	hidden := false
	for _, k := range env.Keys() {
		table.Rows = append(table.Rows, []any{k, c.shown(k, env[k], &hidden)})
	}
	return envItems(title, table, hidden)
}

func envSources(ctx context.Context, c *Call) ([]api.Item, error) {
	vars, err := c.Platform.EnvOrigins(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if len(vars) == 0 {
		return []api.Item{api.Text("No configuration set for '%s'.", c.App)}, nil
	}
	table := api.Table([]string{"Source", "Key", "Value"})
	hidden := false
	for _, v := range vars {
		table.Rows = append(table.Rows, []any{v.Origin, v.Key, c.shown(v.Key, v.Value, &hidden)})
	}
	return envItems(fmt.Sprintf("Configured environment for '%s':", c.App), table, hidden), nil
}

func envItems(title string, table api.Item, hidden bool) []api.Item {
	items := []api.Item{api.Text("%s", title), table}
	if hidden {
		items = append(items, api.Text("Secrets are hidden; --show-secrets shows them."))
	}
	return items
}

// shown returns a variable's value as this caller asked to see it, and notes
// that something of it is hidden.
func (c *Call) shown(key, value string, hidden *bool) string {
	shown := hop3.Redact(key, value)
	if c.Has("show-secrets") {
		if shown != value {
			c.revealed = append(c.revealed, key)
		}
		return value
	}
	*hidden = *hidden || shown != value
	return shown
}

func envGet(ctx context.Context, c *Call) ([]api.Item, error) {
	env, err := c.Platform.Env(ctx, c.Actor(), c.App)
	if err != nil {
		return nil, err
	}
	if v, ok := env[c.Args[0]]; ok {
		if hop3.Redact(c.Args[0], v) != v {
			c.revealed = append(c.revealed, c.Args[0])
		}
		return []api.Item{api.Text("%s", v)}, nil
	}
	return []api.Item{api.Text("Setting '%s' not found.", c.Args[0])}, nil
}

func envSet(ctx context.Context, c *Call) ([]api.Item, error) {
	set := make(hop3.Env)
	var problems []error
	for _, arg := range c.Args {
		k, v, ok := strings.Cut(arg, "=")
		if !ok {
			problems = append(problems, hop3.Errorf(hop3.CodeInvalid, "'%.80s' is not KEY=VALUE", arg))
			continue
		}
		problems = append(problems, hop3.ValidateEnvKey(k), hop3.ValidateEnvValue(k, v))
		set[k] = v
	}
	if err := errors.Join(problems...); err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%s", err.Error()).WithHint("Nothing was changed.")
	}
	return c.changeEnv(ctx, set, nil)
}

func envUnset(ctx context.Context, c *Call) ([]api.Item, error) {
	return c.changeEnv(ctx, nil, c.Args)
}

func (c *Call) changeEnv(ctx context.Context, set hop3.Env, unset []string) ([]api.Item, error) {
	if c.Has(previewFlag.Name) {
		return c.changePreviewEnv(ctx, set, unset)
	}
	var out lines
	change, err := c.Platform.SetEnv(ctx, c.Actor(), c.App, set, unset, &out)
	if err != nil {
		return nil, out.failed(err)
	}
	items := []api.Item{api.Text("Updated configuration for '%s':", c.App)}
	for _, line := range changeLines(change, set, unset) {
		items = append(items, api.Text("  • %s", line))
	}
	items = append(items, out.items()...)
	if change.Release > 0 {
		items = append(items, api.Text("Release v%d is live with it.", change.Release))
	}
	verb, names := "set", set.Keys()
	if set == nil {
		verb, names = "unset", unset
	}
	return append(items, api.Summary("%s %s on %s.", verb, strings.Join(names, ", "), c.App)), nil
}

// changeLines tells what became of each variable, old secrets hidden.
func changeLines(change platform.EnvChange, set hop3.Env, unset []string) []string {
	var out []string
	for _, k := range set.Keys() {
		switch v := hop3.Redact(k, set[k]); {
		case slices.Contains(change.Added, k):
			out = append(out, "Set "+k+"="+v)
		case slices.Contains(change.Updated, k):
			out = append(out, "Updated "+k+"="+v+" (was: "+hop3.Redact(k, change.Old[k])+")")
		default:
			out = append(out, k+" is unchanged")
		}
	}
	for _, k := range unset {
		if slices.Contains(change.Removed, k) {
			out = append(out, "Removed "+k)
		} else {
			out = append(out, k+" was not set")
		}
	}
	return out
}
