package cli

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/abilian/hop3/hop3/api"
)

// projectFiles are where a project says what it is, the first before the
// others.
var projectFiles = []string{"hop3/hop3.toml", "hop3.toml"}

// localFile pins a checkout to a context. It is not for the repository.
const localFile = ".hop3-local.toml"

// projectContext returns the context that the project here is pinned to, or the
// only one it has; "" for none.
func (p *program) projectContext() string {
	if file := p.upward(localFile); file != "" {
		var pinned struct{ Local struct{ Context string } }
		if content, err := os.ReadFile(file); err == nil && toml.Unmarshal(content, &pinned) == nil && pinned.Local.Context != "" {
			return pinned.Local.Context
		}
	}
	m, err := readProject(p.projectRoot())
	if err != nil || len(m.Contexts) != 1 {
		return "" // who needs the project says what is wrong with it
	}
	return slices.Collect(maps.Keys(m.Contexts))[0]
}

// projectRoot is the directory of the project that this one is in, or this one.
func (p *program) projectRoot() string {
	if file := p.upward("hop3.toml"); file != "" {
		return filepath.Dir(file)
	}
	return p.dir
}

// checkContext refuses a --context beside a HOP3_API_URL or HOP3_DEV_MODE that
// mean another server.
func (p *program) checkContext() error {
	other := p.getenv("HOP3_API_URL")
	if other == "" && p.devMode() {
		other = firstOf(get(p.settings.config, "api_url"), defaultServer)
	}
	if p.flags.context == "" || other == "" {
		return nil
	}
	server, err := p.contextServer(p.flags.context)
	if err == nil && serverKey(server) != serverKey(other) {
		err = exitf(api.ExitNotFound, "--context %s is %s, and the environment says %s: unset HOP3_API_URL and HOP3_DEV_MODE, or leave --context out.", p.flags.context, server, other)
	}
	return err
}

// flatten returns a hop3.toml as it is in a context: with its variables over
// the others and its domains in their place, and without the contexts. One
// that has no contexts is as it was.
func flatten(text []byte, context string) ([]byte, error) {
	var m map[string]any
	if err := toml.Unmarshal(text, &m); err != nil {
		return text, nil // the server says what is wrong, and where
	}
	contexts, _ := m["contexts"].(map[string]any)
	if contexts == nil {
		return text, nil
	}
	delete(m, "contexts")
	chosen, _ := contexts[context].(map[string]any)
	if vars, ok := chosen["env"].(map[string]any); ok {
		env, _ := m["env"].(map[string]any)
		if env == nil {
			env = map[string]any{}
		}
		maps.Copy(env, vars)
		m["env"] = env
	}
	if domains, ok := chosen["domains"]; ok {
		m["domains"] = domains
	}
	return toml.Marshal(m)
}

// guarded are the commands that are refused for another app than that of the
// project they are called in, unless --force says so.
var guarded = set("deploy", "restart", "app restart", "env set", "config set", "app destroy", "destroy")

// checkProject refuses a command for another app than the one that the project
// in dir says it is.
func (p *program) checkProject(command, dir, app string) error {
	if p.flags.yes || !guarded[command] {
		return nil
	}
	m, err := readProject(dir)
	if err != nil {
		return err
	}
	own := firstOf(m.CLI.App, m.Contexts[p.contextName()].App, m.Metadata.ID)
	if own == "" || own == app {
		return nil
	}
	return exitf(api.ExitNotFound, "This is the project of the app '%s', and the command is about '%s'. Give --force if it is meant, or go to another directory.", own, app)
}

// readConfigFile reads one of projectFiles; nil when there is none.
func readConfigFile(dir, name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}
