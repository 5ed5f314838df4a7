package caddymodules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/certs"
	"github.com/abilian/hop3/hop3/docker"
	"github.com/abilian/hop3/hop3/front"
	"github.com/abilian/hop3/hop3/routing"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/sshd"
	"github.com/abilian/hop3/uwsgi"
)

// App is the Caddy app "hop3": a Hop3 server in this Caddy. It wires the
// platform together and listens for SSH. Everything has a default.
type App struct {
	// The server's home directory. Default: /home/hop3 for root, the user's
	// data directory otherwise.
	Home string `json:"home,omitempty"`

	// Settings of the server by the names of the configuration file. They win
	// over the file and the environment.
	Settings map[string]string `json:"settings,omitempty"`

	// Where to listen for SSH, as Caddy writes addresses: fd/5 is a socket that
	// is open already. Default: what the settings say.
	SSHListen string `json:"ssh_listen,omitempty"`

	// The sockets that are open already and that a proxy in front may get, or
	// reaches us by, as Caddy writes their addresses, by name: http, https,
	// front-tcp.
	Sockets map[string]string `json:"sockets,omitempty"`

	// The builders, in order of preference. Default: docker, nix and local.
	BuildersRaw []json.RawMessage `json:"builders,omitempty" caddy:"namespace=hop3.builders inline_key=builder"`

	// What runs the apps. Default: uWSGI where it is installed, else the
	// embedded supervisor.
	RuntimeRaw json.RawMessage `json:"runtime,omitempty" caddy:"namespace=hop3.runtimes inline_key=runtime"`

	// What sends requests to the apps. Default: this Caddy.
	ProxyRaw json.RawMessage `json:"proxy,omitempty" caddy:"namespace=hop3.proxies inline_key=proxy"`

	// The providers of addons. Default: all there are.
	AddonsRaw caddy.ModuleMap `json:"addons,omitempty" caddy:"namespace=hop3.addons"`

	ctx      caddy.Context
	logger   *zap.Logger
	config   *serverconfig.Config
	runtime  runtimeModule
	proxy    hop3.Proxy // nil: the routing table's
	builders []hop3.Builder
	addons   []hop3.AddonProvider
	core     *core // non-nil: a reference in the pool is held
	ssh      *sshd.Server
}

// runtimeModule is a module of hop3.runtimes. Open makes the runtime that keeps
// its state in runDir and starts its processes in box; it is called once in the life of a server, also over
// reloads.
type runtimeModule interface {
	Open(runDir string, box *sandbox.Sandbox, logger *zap.Logger) (hop3.Runtime, error)
}

// tableUser is a proxy that works on the server's own routing table.
type tableUser interface {
	UseTable(*routing.Table)
}

// sandboxUser is a builder that runs its commands in the server's sandbox.
type sandboxUser interface {
	UseSandbox(*sandbox.Sandbox)
}

// engineUser is a builder that works with the server's container engine.
type engineUser interface {
	UseEngine(*docker.Engine)
}

// containerUser is a runtime that runs images too. It is told before it is
// opened by what.
type containerUser interface {
	UseContainers(hop3.ContainerEngine)
}

// cores are the running servers by home. The pool outlives reloads.
var cores = caddy.NewUsagePool()

// CaddyModule describes the module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3", New: func() caddy.Module { return new(App) }}
}

// Provision loads the configuration and the plug-ins. It touches nothing on
// disk: `caddy validate` runs it too.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.logger = ctx, ctx.Logger()
	flags := maps.Clone(a.Settings)
	if flags == nil {
		flags = map[string]string{}
	}
	if a.Home != "" {
		flags["home"] = a.Home
	}
	var err error
	if a.config, err = serverconfig.Load(serverconfig.Options{Flags: flags}); err != nil {
		return err
	}
	if err := a.loadPlugins(ctx); err != nil {
		return err
	}
	made, _, err := cores.LoadOrNew(a.config.Home, func() (caddy.Destructor, error) {
		return newCore(a.config, a.logger), nil
	})
	if err != nil {
		return err
	}
	a.core = made.(*core)
	return nil
}

// loadPlugins loads the guest modules, the default ones where none are named.
func (a *App) loadPlugins(ctx caddy.Context) error {
	if a.BuildersRaw == nil {
		a.BuildersRaw = a.standardBuilders()
	}
	if a.RuntimeRaw == nil {
		name := a.config.Runtime
		if name == "auto" {
			name = chooseRuntime()
		}
		if err := checkModule("hop3.runtimes", name, "PROCESS_MANAGER"); err != nil {
			return err
		}
		ports := a.config.PortRange
		a.RuntimeRaw = json.RawMessage(fmt.Sprintf(`{"runtime":%q,"port_min":%d,"port_max":%d,"log_max_bytes":%d}`,
			name, ports.First, ports.Last, a.config.LogMaxSize))
	}
	if a.ProxyRaw == nil {
		if err := checkModule("hop3.proxies", a.config.Proxy, "HOP3_PROXY_TYPE"); err != nil {
			return err
		}
		a.ProxyRaw = json.RawMessage(fmt.Sprintf(`{"proxy":%q}`, a.config.Proxy))
	}
	guests, err := ctx.LoadModule(a, "BuildersRaw")
	if err != nil {
		return fmt.Errorf("loading the builders: %w", err)
	}
	for _, g := range guests.([]any) {
		b, ok := g.(hop3.Builder)
		if !ok {
			return fmt.Errorf("the module %T in hop3.builders is not a builder", g)
		}
		a.builders = append(a.builders, b)
	}
	guest, err := ctx.LoadModule(a, "RuntimeRaw")
	if err != nil {
		return fmt.Errorf("loading the runtime: %w", err)
	}
	var ok bool
	if a.runtime, ok = guest.(runtimeModule); !ok {
		return fmt.Errorf("the module %T in hop3.runtimes is not a runtime", guest)
	}
	if guest, err = ctx.LoadModule(a, "ProxyRaw"); err != nil {
		return fmt.Errorf("loading the proxy: %w", err)
	}
	switch proxy := guest.(type) {
	case *Proxy, front.Program: // the server's own proxy, with or without a program in front
	case hop3.Proxy:
		a.proxy = proxy
	default:
		return fmt.Errorf("the module %T in hop3.proxies is not a proxy", guest)
	}
	return a.loadAddons(ctx)
}

// loadAddons loads the providers of addons, in the order of their names.
func (a *App) loadAddons(ctx caddy.Context) error {
	if a.AddonsRaw == nil {
		a.AddonsRaw = caddy.ModuleMap{}
		for _, m := range caddy.GetModules("hop3.addons") {
			a.AddonsRaw[m.ID.Name()] = json.RawMessage("{}")
		}
	}
	guests, err := ctx.LoadModule(a, "AddonsRaw")
	if err != nil {
		return fmt.Errorf("loading the addons: %w", err)
	}
	byName, _ := guests.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		provider, ok := byName[name].(hop3.AddonProvider)
		if !ok || provider.Name() != name {
			return fmt.Errorf("the module %T in hop3.addons is not a provider of the type %q", byName[name], name)
		}
		a.addons = append(a.addons, provider)
	}
	return nil
}

// standardBuilders are Hop3's own, in order of preference. Those that were
// left out of this program are left out here.
func (a *App) standardBuilders() (raw []json.RawMessage) {
	for _, b := range []struct{ name, config string }{
		{"docker", `{"builder":"docker"}`},
		{"nix", fmt.Sprintf(`{"builder":"nix","memory":%d}`, a.config.BuildMemory)},
		{"local", fmt.Sprintf(`{"builder":"local","memory":%d}`, a.config.BuildMemory)},
	} {
		if checkModule("hop3.builders", b.name, "") == nil {
			raw = append(raw, json.RawMessage(b.config))
		}
	}
	return raw
}

// chooseRuntime is what PROCESS_MANAGER=auto stands for: uWSGI where the server
// has it and the machine too.
func chooseRuntime() string {
	if uwsgi.Installed() && checkModule("hop3.runtimes", uwsgi.Name, "") == nil {
		return uwsgi.Name
	}
	return "native"
}

// checkModule returns an error that names the choice unless a namespace has
// the module that a setting names.
func checkModule(namespace, name, setting string) error {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	if slices.Contains(names, name) {
		return nil
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s is %q, which this server does not have", setting, name).
		WithHint("It has: %s.", strings.Join(names, ", "))
}

// Start brings the server up, or joins the one that an earlier configuration
// brought up, and opens the SSH listener.
func (a *App) Start() error {
	a.core.useBuilders(a.builders)
	a.core.useAddons(a.addons)
	if user, ok := a.proxy.(tableUser); ok {
		user.UseTable(a.core.Table)
	}
	if err := a.core.start(a.ctx, a.runtime, a.proxy, a.Sockets); err != nil {
		return err
	}
	if a.config.SSHPort == 0 {
		return nil
	}
	return a.startSSH()
}

// Cleanup lets go of the pooled server.
func (a *App) Cleanup() error {
	if a.core == nil {
		return nil
	}
	_, err := cores.Delete(a.config.Home)
	return err
}

// Keeper returns what keeps the server's certificates.
func (a *App) Keeper() *certs.Keeper { return a.core.Keeper }

// RoutingTable returns the server's routing table.
func (a *App) RoutingTable() *routing.Table { return a.core.Table }
