package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/abilian/hop3/hop3/api"
)

// settingKeys are the settings that `hop3 settings` knows. The server and the
// token have places of their own.
var settingKeys = []string{"server", "token", "ssl_cert", "verify_ssl"}

func settingsShow(_ context.Context, p *program, args []string) error {
	if err := noMore(args); err != nil {
		return err
	}
	item := api.Table([]string{"Setting", "Value"})
	for _, key := range settingKeys {
		value, err := p.setting(key)
		if err != nil {
			return err
		}
		if key == "token" && value != "" {
			value = value[:min(6, len(value))] + "…"
		}
		item.Rows = append(item.Rows, []any{key, value})
	}
	p.printer.item(item, nil)
	return nil
}

func settingsGet(_ context.Context, p *program, args []string) error {
	if len(args) != 1 || !slices.Contains(settingKeys, args[0]) {
		return badSetting("Usage: hop3 settings get KEY")
	}
	value, err := p.setting(args[0])
	if err != nil {
		return err
	}
	p.printer.item(api.Text("%s", value), nil)
	return nil
}

func settingsSet(_ context.Context, p *program, args []string) error {
	if len(args) != 2 || !slices.Contains(settingKeys, args[0]) {
		return badSetting("Usage: hop3 settings set KEY VALUE")
	}
	switch key, value := args[0], args[1]; key {
	case "server":
		put(p.settings.config, value, "cli", "default_server")
		put(p.settings.config, value, "api_url") // where Hop3 (Python) looks
	case "token":
		server, err := p.server()
		if err != nil {
			return err
		}
		put(p.settings.credentials, value, "servers", serverKey(server), "token")
		return p.settings.save(credentialsFile, p.settings.credentials)
	default:
		put(p.settings.config, value, key)
	}
	return p.settings.save(configFile, p.settings.config)
}

func (p *program) setting(key string) (string, error) {
	server, err := p.server()
	switch key {
	case "server":
		return server, err
	case "token":
		return get(p.settings.credentials, "servers", serverKey(server), "token"), err
	default:
		return get(p.settings.config, key), nil
	}
}

func badSetting(usage string) error {
	return exitf(api.ExitUsage, "%s\nThe keys are server, token, ssl_cert and verify_ssl.", usage)
}

func contextList(_ context.Context, p *program, args []string) error {
	if err := noMore(args); err != nil {
		return err
	}
	known, _ := p.settings.config["contexts"].(map[string]any)
	if len(known) == 0 {
		p.printer.item(api.Text("There are no contexts. Add one with 'hop3 context add NAME URL'."), nil)
		return nil
	}
	item := api.Table([]string{"", "Name", "Server"})
	for _, name := range slices.Sorted(maps.Keys(known)) {
		mark := ""
		if name == p.contextName() {
			mark = "*"
		}
		item.Rows = append(item.Rows, []any{mark, name, get(p.settings.config, "contexts", name, "server")})
	}
	p.printer.item(item, nil)
	return nil
}

func contextAdd(_ context.Context, p *program, args []string) error {
	if len(args) != 2 {
		return exitf(api.ExitUsage, "Usage: hop3 context add NAME URL")
	}
	if _, err := p.dial(args[1], ""); err != nil {
		return err
	}
	put(p.settings.config, args[1], "contexts", args[0], "server")
	return p.settings.save(configFile, p.settings.config)
}

func contextUse(_ context.Context, p *program, args []string) error {
	if len(args) != 1 {
		return exitf(api.ExitUsage, "Usage: hop3 context use NAME")
	}
	if _, err := p.contextServer(args[0]); err != nil {
		return err
	}
	put(p.settings.config, args[0], "cli", "default_context")
	return p.settings.save(configFile, p.settings.config)
}

func contextRemove(_ context.Context, p *program, args []string) error {
	if len(args) != 1 {
		return exitf(api.ExitUsage, "Usage: hop3 context remove NAME")
	}
	known, _ := p.settings.config["contexts"].(map[string]any)
	if known[args[0]] == nil {
		return exitf(api.ExitNotFound, "There is no context '%s'.", args[0])
	}
	delete(known, args[0])
	if get(p.settings.config, "cli", "default_context") == args[0] {
		put(p.settings.config, "", "cli", "default_context")
	}
	return p.settings.save(configFile, p.settings.config)
}

func contextShow(_ context.Context, p *program, args []string) error {
	if len(args) > 1 {
		return exitf(api.ExitUsage, "Usage: hop3 context show [NAME]")
	}
	name := p.contextName()
	if len(args) == 1 {
		name = args[0]
	}
	if name == "" {
		server, err := p.server()
		if err != nil {
			return err
		}
		p.printer.item(api.Text("No context is chosen; the server is %s.", server), nil)
		return nil
	}
	server, err := p.contextServer(name)
	if err != nil {
		return err
	}
	p.printer.item(api.Text("Context: %s\nServer: %s", name, server), nil)
	return nil
}

func contextRename(_ context.Context, p *program, args []string) error {
	if len(args) != 2 {
		return exitf(api.ExitUsage, "Usage: hop3 context rename NAME NEW")
	}
	known, _ := p.settings.config["contexts"].(map[string]any)
	switch {
	case known[args[0]] == nil:
		return exitf(api.ExitNotFound, "There is no context '%s'.", args[0])
	case known[args[1]] != nil:
		return exitf(api.ExitConflict, "There is a context '%s' already.", args[1])
	}
	known[args[1]] = known[args[0]]
	delete(known, args[0])
	if get(p.settings.config, "cli", "default_context") == args[0] {
		put(p.settings.config, args[1], "cli", "default_context")
	}
	return p.settings.save(configFile, p.settings.config)
}

func listAliases(_ context.Context, p *program, args []string) error {
	if err := noMore(args); err != nil {
		return err
	}
	item := api.Table([]string{"Alias", "Stands for", "Whose"})
	for _, name := range slices.Sorted(maps.Keys(aliases)) {
		item.Rows = append(item.Rows, []any{name, aliases[name], "hop3"})
	}
	own, _ := p.settings.config["aliases"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(own)) {
		item.Rows = append(item.Rows, []any{name, fmt.Sprint(own[name]), "yours"})
	}
	p.printer.item(item, nil)
	return nil
}
