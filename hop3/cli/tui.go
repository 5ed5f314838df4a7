package cli

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/cli/tui"
	"github.com/abilian/hop3/hop3/client"
)

const tuiUsage = "[--app NAME]"

// fullScreen is `hop3 tui`.
func fullScreen(ctx context.Context, p *program, args []string) error {
	if err := noMore(args); err != nil {
		return err
	}
	if !isTerminal(p.In) || !isTerminal(p.Out) {
		return exitf(api.ExitUsage, "hop3 tui needs a terminal for its input and output; `hop3 help` lists the commands for scripts.")
	}
	servers, err := p.tuiServers()
	if err != nil {
		return err
	}
	return tui.Run(ctx, tui.Options{Servers: servers, App: p.flags.app, Parse: p.parseTyped})
}

// tuiServers returns the server that is meant, then the others that are known.
func (p *program) tuiServers() ([]tui.Server, error) {
	if p.ownHost() != "" {
		return []tui.Server{{Name: "this host", Dial: func() (tui.Caller, error) { return p.connect() }}}, nil
	}
	address, err := p.server()
	if err != nil {
		return nil, err
	}
	known := map[string]string{} // names of contexts by address
	m, err := readProject(p.dir)
	if err != nil {
		return nil, err
	}
	contexts, _ := p.settings.config["contexts"].(map[string]any)
	for name := range contexts {
		known[get(p.settings.config, "contexts", name, "server")] = name
	}
	for name, c := range m.Contexts {
		known[c.Server] = name
	}
	delete(known, "")
	servers := []tui.Server{{Name: placeName(known[address], address), Dial: func() (tui.Caller, error) { return p.connect() }}}
	delete(known, address)
	tokens, _ := p.settings.credentials["servers"].(map[string]any)
	for server := range tokens { // those one has logged in to without giving them a name
		if !slices.ContainsFunc(append(slices.Collect(maps.Keys(known)), address), func(a string) bool { return serverKey(a) == server }) {
			known[server] = ""
		}
	}
	for _, server := range slices.Sorted(maps.Keys(known)) {
		servers = append(servers, tui.Server{Name: placeName(known[server], server), Dial: func() (tui.Caller, error) {
			return p.dial(server, get(p.settings.credentials, "servers", serverKey(server), "token"))
		}})
	}
	return servers, nil
}

// placeName is how a server is called: by its context and its host.
func placeName(context, address string) string {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	}
	if context == "" {
		return host
	}
	return context + " (" + host + ")"
}

// parseTyped makes a command of what is typed on the full screen, as the
// command line would.
func (p *program) parseTyped(words []string, app string) (tui.Command, error) {
	f, err := parseFlags(words, p.getenv)
	if err != nil {
		return tui.Command{}, err
	}
	if f.context != "" {
		return tui.Command{}, exitf(api.ExitUsage, "Press x to go to another server.")
	}
	words = p.expandAlias(f.words)
	if f.help {
		words = append([]string{"help"}, words...)
	}
	if len(words) == 0 {
		return tui.Command{}, exitf(api.ExitUsage, "Type a command, as behind hop3.")
	}
	if cmd, _ := findLocal(words); cmd != nil {
		if words, err = onScreen(cmd.name, words); err != nil {
			return tui.Command{}, err
		}
	}
	if f.app == "" {
		f.app = app
		if _, n := match(scoped, words); n == 0 {
			f.app = "" // nobody asked for one
		}
	}
	asked := &program{Stdio: p.Stdio, getenv: p.getenv, settings: p.settings, flags: f}
	if name, n := match(scoped, words); n > 0 && f.app == "" && !slices.Contains(words, "--app") {
		return tui.Command{}, exitf(api.ExitNotFound, "Which app? Say %s --app NAME.", name)
	}
	words = asked.placeApp(words)
	_, deploys := match(followed, words)
	c := tui.Command{Args: words, Streams: deploys > 0 || slices.Contains(words, "--wait")}
	if name, n := match(dangerous, words); n > 0 {
		if c.Target = target(words[n:]); c.Target == "" {
			c.Target = name
		}
		c.Typed = typed[name]
	}
	return c, nil
}

// onScreen is what a command of the client itself means here: that of the
// server with the same name, if there is one that needs nothing of this
// machine.
func onScreen(name string, words []string) ([]string, error) {
	switch name {
	case "help", "version":
		return words, nil
	case "run", "app run":
		return words, nil
	case "logs", "app logs":
		if slices.Contains(words, "-f") || slices.Contains(words, "--follow") {
			return nil, exitf(api.ExitUsage, "Press l on the app's page to follow its logs.")
		}
		return append([]string{"app", "logs"}, words[len(strings.Fields(name)):]...), nil
	}
	return nil, fmt.Errorf("'hop3 %s' works with this machine's files and terminal: leave with q first", name)
}

var _ tui.Caller = (*client.Client)(nil)
