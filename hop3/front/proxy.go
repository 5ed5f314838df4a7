package front

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/routing"
)

// Options are what a Proxy needs. All fields are required, but for
// Certificates where HTTPS is closed.
type Options struct {
	Home         string
	Table        *routing.Table
	Programs     []Program // those there are
	Certificates Certificates
	Listeners    Listeners
	Backend      Backend
	ControlHosts []string
	// Save stores the choice of a proxy by its name. An error says that it
	// would not outlive the server.
	Save   func(name string) error
	Logger *zap.Logger
}

// Own is the name of the proxy that is no other program: our own Caddy.
const Own = "caddy"

// Proxy is the hop3.Proxy of a server: the routing table and, where one is
// chosen, the program in front. Its methods are safe for concurrent use.
type Proxy struct {
	*routing.Table
	o     Options
	certs *exported

	changing sync.Mutex // held while the files or the program change
	routes   map[string]hop3.Route
	front    *standing // nil: our Caddy serves by itself
	wanted   string    // the name of the choice, also when it does not run
	trouble  error     // why the choice does not run

	kick   chan struct{} // asks for a look at certificates and process
	cancel context.CancelFunc
	ended  chan struct{}
}

// standing is a program that stands in front.
type standing struct {
	program Program
	binary  Binary
	place   Place
	process *process
}

// New returns the proxy of a server that has just begun: our own Caddy serves.
func New(o Options) *Proxy {
	return &Proxy{
		Table: o.Table, o: o, routes: map[string]hop3.Route{}, wanted: Own,
		certs: newExported(filepath.Join(o.Home, "front", "certificates"), o.Certificates, o.Logger),
		kick:  make(chan struct{}, 1),
	}
}

// Name returns the name of the proxy that was chosen.
func (p *Proxy) Name() string {
	p.changing.Lock()
	defer p.changing.Unlock()
	return p.wanted
}

// Set makes r the route of its app. See hop3.Proxy. Where the program in front
// has to know of it, it returns once the program does; when the program refuses
// it, with a CodeInvalid error, nothing has changed.
func (p *Proxy) Set(ctx context.Context, r hop3.Route) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	if p.front != nil {
		if refused := p.front.program.Refuses(r); len(refused) > 0 {
			return refusal(p.front.program, map[string][]string{r.App: refused})
		}
	}
	before, known := p.routes[r.App]
	if err := p.Table.Set(ctx, r); err != nil {
		return err
	}
	p.routes[r.App] = r
	if p.front == nil || known && sameSite(before, r) {
		return nil
	}
	p.certify(ctx, r.Hosts)
	err := p.apply(ctx)
	if err == nil {
		return nil
	}
	// The program goes on with the files of before.
	if known {
		p.routes[r.App] = before
		return errors.Join(err, p.Table.Set(ctx, before))
	}
	delete(p.routes, r.App)
	return errors.Join(err, p.Table.Remove(ctx, r.App))
}

// Remove takes an app's route away. See hop3.Proxy.
func (p *Proxy) Remove(ctx context.Context, app string) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	if err := p.Table.Remove(ctx, app); err != nil {
		return err
	}
	if _, known := p.routes[app]; !known {
		return nil
	}
	delete(p.routes, app)
	if p.front == nil {
		return nil
	}
	// Its hosts lead to us as long as they are in the files, and we say that
	// nobody lives there.
	if err := p.apply(ctx); err != nil {
		p.o.Logger.Error("taking an app out of the files of the proxy", zap.String("app", app), zap.Error(err))
	}
	return p.certs.forget(p.hosts())
}

var (
	_ hop3.Proxy   = (*Proxy)(nil)
	_ hop3.Meter   = (*Proxy)(nil)
	_ hop3.Witness = (*Proxy)(nil)
)

// Private

// sameSite reports whether two routes look the same to a program in front.
func sameSite(a, b hop3.Route) bool {
	return slices.Equal(a.Hosts, b.Hosts) && wantsH2C(a) == wantsH2C(b)
}

// wantsH2C reports whether requests must reach the app, and so us, as HTTP/2.
func wantsH2C(r hop3.Route) bool { return r.Policy != nil && r.Policy.Upstream == hop3.UpstreamH2C }

// refusal names what the apps ask for that a program cannot do.
func refusal(program Program, byApp map[string][]string) error {
	var list []string
	for _, app := range slices.Sorted(maps.Keys(byApp)) {
		for _, what := range byApp[app] {
			list = append(list, fmt.Sprintf("app '%s': %s", app, what))
		}
	}
	err := hop3.Errorf(hop3.CodeInvalid, "%s cannot do what is asked for:", program.Name())
	for _, line := range list {
		err.Message += "\n  " + line
	}
	return err.WithHint("Take it out of the app's hop3.toml, or let an admin choose another proxy with `hop3 proxy set`.")
}

// localPatience is how long a change of hosts waits for the certificates that
// our own authority makes.
const localPatience = 5 * time.Second

// certify gets the certificates of new hosts: those that are there at once
// before the program hears of the hosts, the others when they come.
func (p *Proxy) certify(ctx context.Context, hosts []string) {
	if p.o.Certificates == nil {
		return
	}
	p.certs.load(hosts)
	local, public := splitLocal(hosts)
	limited, cancel := context.WithTimeout(ctx, localPatience)
	defer cancel()
	p.certs.refresh(limited, local)
	if len(public) > 0 {
		p.Look()
	}
}

// Look has the loop look at everything soon.
func (p *Proxy) Look() {
	select {
	case p.kick <- struct{}{}:
	default: // it will anyway
	}
}

// hosts returns all hosts that may have a certificate.
func (p *Proxy) hosts() map[string]bool {
	all := map[string]bool{}
	for _, host := range p.o.ControlHosts {
		all[host] = true
	}
	for _, r := range p.routes {
		for _, host := range r.Hosts {
			all[host] = true
		}
	}
	return all
}

// sites is what the program is to know.
func (p *Proxy) sites() []Site {
	sites := make([]Site, 0, len(p.routes))
	for _, app := range slices.Sorted(maps.Keys(p.routes)) {
		r := p.routes[app]
		if len(r.Hosts) > 0 {
			sites = append(sites, Site{App: app, Hosts: slices.Clone(r.Hosts), Certificates: p.certs.of(r.Hosts), H2C: wantsH2C(r)})
		}
	}
	return sites
}
