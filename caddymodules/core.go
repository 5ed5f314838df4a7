package caddymodules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/accesslog"
	"github.com/abilian/hop3/hop3/auth"
	"github.com/abilian/hop3/hop3/certs"
	"github.com/abilian/hop3/hop3/disk"
	"github.com/abilian/hop3/hop3/docker"
	"github.com/abilian/hop3/hop3/expose"
	"github.com/abilian/hop3/hop3/failures"
	"github.com/abilian/hop3/hop3/front"
	"github.com/abilian/hop3/hop3/git"
	"github.com/abilian/hop3/hop3/move"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/ready"
	"github.com/abilian/hop3/hop3/routing"
	"github.com/abilian/hop3/hop3/rpc"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/services"
	"github.com/abilian/hop3/hop3/sshd"
	"github.com/abilian/hop3/hop3/store"
	"github.com/abilian/hop3/hop3/stream"
	"github.com/abilian/hop3/hop3/waf"
)

// core is what of a Hop3 server survives a reload of Caddy's configuration:
// the database, the routing table, the running apps, the locks. It is pooled
// by home directory. Making one has no side effects; start has.
type core struct {
	Platform *platform.Platform
	Streams  *stream.Hub
	Table    *routing.Table
	Repos    *git.Repositories
	Keeper   *certs.Keeper
	Guard    *waf.Guard

	front *front.Proxy // nil until started, and where another module is the proxy

	config   *serverconfig.Config
	builders atomic.Pointer[[]hop3.Builder]
	logger   *zap.Logger

	api      atomic.Pointer[rpc.Handler] // nil until started
	metrics  atomic.Pointer[metrics]     // as api
	gate     *gate
	ssh      atomic.Pointer[sshd.Server]       // the newest one; nil for none
	control  atomic.Pointer[Control]           // nil when this process is not `hop3 run`
	platform atomic.Pointer[platform.Platform] // nil while not started
	access   atomic.Pointer[accesslog.Log]     // nil while not started

	failures atomic.Pointer[failureLog] // nil until started

	hostKeys   hostKeys
	sshAddress atomic.Pointer[string] // from this host; nil for none

	mu       sync.Mutex
	started  bool
	lock     *serverconfig.Lock
	store    *store.DB
	box      *sandbox.Sandbox   // nil until started
	engine   *docker.Engine     // nil until started
	services *services.Services // nil until started

	relays    *move.Relays // nil until started
	providers []hop3.AddonProvider
	exposed   expose.Gate

	host *http.Server // of host commands
}

// Platform returns the verbs of the server that runs on a home, nil when none
// does.
func Platform(home string) *platform.Platform {
	if c := running(home); c != nil {
		return c.Platform
	}
	return nil
}

// GitInstalled returns an error that says how to install git when the server
// that runs on a home has none.
func GitInstalled(ctx context.Context, home string) error {
	if c := running(home); c != nil {
		return c.Repos.CheckInstalled(ctx)
	}
	return nil
}

// running returns the started core of a home.
func running(home string) *core {
	var found *core
	cores.Range(func(key, value any) bool {
		c := value.(*core)
		c.mu.Lock()
		defer c.mu.Unlock()
		if key == home && c.started {
			found = c
		}
		return true
	})
	return found
}

func newCore(config *serverconfig.Config, logger *zap.Logger) *core {
	c := &core{config: config, logger: logger, Table: routing.NewTable(), Streams: &stream.Hub{Dir: filepath.Join(config.Home, "run", "streams")}, gate: newGate()}
	c.Keeper = certs.New(certs.Options{
		AppOf:   c.Table.AppOf,
		Outcome: c.certificateOutcome,
		Hosts:   c.eagerHosts,
		Dir:     filepath.Join(config.Home, "certificates"),
		Own:     []string{config.ControlHost()},
		Logger:  logger.Named("certificates"),
	})
	c.Guard = waf.New(waf.Options{Dir: filepath.Join(config.Home, "waf", "log"), Save: c.saveBan, Logger: slogOf(logger.Named("waf"))})
	return c
}

// saveBan stores a ban that the firewall has begun.
func (c *core) saveBan(b hop3.Ban) error {
	if p := c.platform.Load(); p != nil {
		return p.SaveBan(b)
	}
	return errors.New("the server is ending")
}

// eagerHosts are the hosts that have a certificate before their first visitor:
// those that users gave their apps. The names under the server's own may be
// many, and authorities count: they get theirs when somebody comes.
func (c *core) eagerHosts() []string {
	return slices.DeleteFunc(c.Table.Hosts(), func(host string) bool {
		return strings.HasSuffix(host, "."+c.config.BaseDomain)
	})
}

// start opens what the configuration names and brings the apps back. It does
// so once; later calls return nil.
func (c *core) start(ctx context.Context, rt runtimeModule, proxy hop3.Proxy, sockets map[string]string) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started {
		return nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.closeLocked())
		}
	}()
	if err := serverconfig.Prepare(c.config); err != nil {
		return err
	}
	home := c.config.Home
	if c.lock, err = serverconfig.LockHome(home); err != nil {
		return err
	}
	if c.store, err = store.Open(ctx, c.config.DatabaseURL, home, store.WithSecret(c.config.SecretKey)); err != nil {
		return err
	}
	credentials, err := auth.New(c.config.SecretKey, c.config.TokenExpiry)
	if err != nil {
		return err
	}
	if c.Repos, err = c.openRepos(ctx, home); err != nil {
		return err
	}
	box, err := sandbox.Open(sandbox.Options{
		Home:     home,
		Mode:     c.config.Isolation,
		FirstUID: c.config.UIDRange.First,
		LastUID:  c.config.UIDRange.Last,
		Binds:    c.config.BindAllow,
		Logger:   slogOf(c.logger.Named("sandbox")),
	})
	if err != nil {
		return err
	}
	c.box = box
	c.engine = docker.Open(home)
	equip(*c.builders.Load(), box, c.engine)
	if user, ok := rt.(containerUser); ok {
		user.UseContainers(c.engine)
	}
	if err := c.openAddons(); err != nil {
		return err
	}
	runtime, err := rt.Open(filepath.Join(home, "run", "native"), box, c.logger.Named("runtime"))
	if err != nil {
		return fmt.Errorf("opening the runtime: %w", err)
	}
	_, isTable := proxy.(tableUser) // our own Caddy serves what it routes
	if proxy == nil {
		if c.front, err = c.newFront(sockets); err != nil {
			return err
		}
		proxy = c.front
	}
	journal, err := failures.Open(filepath.Join(home, "run", "failures"), slogOf(c.logger.Named("failures")))
	if err != nil {
		return fmt.Errorf("opening what is remembered of failed requests: %w", err)
	}
	backups, err := openBackups(c.config)
	if err != nil {
		return err
	}
	c.Platform = &platform.Platform{
		Store:     c.store,
		Runtime:   runtime,
		Builders:  func() []hop3.Builder { return *c.builders.Load() },
		Proxy:     proxy,
		Repos:     c.Repos,
		Prober:    &ready.Prober{},
		Auth:      credentials,
		Files:     disk.Files{},
		Certs:     c.Keeper,
		Failures:  journal,
		Providers: c.providers, ServicePorts: c.services.Ports,
		Exposer:  &c.exposed,
		Notifier: notifier(c.config),
		Logger:   c.logger,
		Settings: c.settings(box),
	}
	c.Platform.Backups, c.Platform.CopyDatabase = backups, c.copyDatabase
	if err := c.openRelays(home); err != nil {
		return err
	}
	if c.Platform.SignOn, err = signOn(c.config.OIDC, c.Platform.ControlURL()); err != nil {
		return err
	}
	if c.front != nil || isTable {
		c.Platform.Firewall = c.Guard
	}
	c.platform.Store(c.Platform)
	c.failures.Store(&failureLog{journal, c.Platform.WhyURL("")})
	c.started = true
	c.openAccessLog()
	if err := c.Platform.Reconcile(ctx); err != nil {
		// Each app's trouble is its own: it is marked and logged, the others
		// are served.
		c.logger.Error("some apps could not be brought back", zap.Error(err))
	}
	c.Platform.Begin()
	c.Platform.Go("failed requests", journal.Run)
	c.Table.SetWaker(c.Platform.Wake)
	c.Table.SetReady()
	if c.config.HTTPSPort != 0 {
		c.Platform.Go("certificates", c.Keeper.Run)
	}
	if err := c.openAPI(home); err != nil {
		return err
	}
	c.gate.open()
	if c.front != nil {
		return c.front.Open(ctx, c.config.Proxy)
	}
	return nil
}

// slogOf is a logger for packages that do not know zap. It keeps its name: by
// that Caddy chooses what is logged.
func slogOf(l *zap.Logger) *slog.Logger {
	return slog.New(zapslog.NewHandler(l.Core(), zapslog.WithName(l.Name())))
}

// useBuilders has later deploys use these builders.
func (c *core) useBuilders(builders []hop3.Builder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.box != nil {
		equip(builders, c.box, c.engine)
	}
	c.builders.Store(&builders)
}

// equip gives builders what of the server they work with.
func equip(builders []hop3.Builder, box *sandbox.Sandbox, engine *docker.Engine) {
	for _, b := range builders {
		if user, ok := b.(engineUser); ok {
			user.UseEngine(engine)
		}
		if user, ok := b.(sandboxUser); ok {
			user.UseSandbox(box)
		}
	}
}

// openRepos opens the git repositories and removes what an earlier server
// left half received.
func (c *core) openRepos(ctx context.Context, home string) (*git.Repositories, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding our own program for git's hooks: %w", err)
	}
	repos, err := git.Open(home, git.Config{Executable: exe, MaxPackBytes: c.config.MaxPushSize, AllowPrivate: c.config.CloneAllowPrivate, Logger: c.logger.Named("git")})
	if err != nil {
		return nil, err
	}
	return repos, repos.Sweep(ctx)
}

func (c *core) settings(box *sandbox.Sandbox) platform.Settings {
	s := c.config
	return platform.Settings{
		Home:             s.Home,
		BaseDomain:       s.BaseDomain,
		ControlHost:      s.ControlHost(),
		StartTimeout:     s.StartTimeout,
		StopGrace:        s.StopGrace,
		DrainTimeout:     s.DrainTimeout,
		KeepReleases:     s.KeepReleases,
		MinFreeSpace:     s.MinFreeSpace,
		MinFreeFiles:     s.MinFreeFiles,
		ConcurrentBuilds: s.ConcurrentBuilds,
		WaitingBuilds:    s.WaitingBuilds,
		BuildTimeout:     s.BuildTimeout,
		PreviewsMax:      s.PreviewsMax,
		PreviewExpiry:    s.PreviewExpiry,
		EventsKeep:       time.Duration(s.EventsKeep) * 24 * time.Hour,
		EventsMax:        s.EventsMax,
		PreviewSleep:     s.PreviewSleep,
		HTTPPort:         s.HTTPPort,
		HTTPSPort:        s.HTTPSPort,
		SSHPort:          s.SSHPort,
		LimitsDefault:    s.LimitsDefault,
		LimitsCeiling:    s.LimitsCeiling,
		LimitsMissing:    box.Limits(),
		LimitsStrict:     s.LimitsStrict,
		StrictBuilds:     s.StrictBuilds,
		BindAllow:        s.BindAllow,
		TmpfsMax:         s.TmpfsMax,
		OperatorEmail:    s.Operator,
		BackupsKeep:      s.Backups.Keep,
		BackupSchedule:   s.Backups.Platform,
		ServerPorts:      s.Ports(),
		AppPorts:         [2]int{s.PortRange.First, s.PortRange.Last},
		PortsStrict:      s.PortsStrict,
		ExposeSource:     s.Addons["EXPOSE_DEFAULT_SOURCE"],
		SignOn:           signOnRules(s.OIDC),
		NotIsolated:      box.Isolation(),
	}
}

// Destruct ends the core when no configuration uses it any more. The apps go
// on running: the next server adopts them.
func (c *core) Destruct() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.closeLocked()
	c.Keeper.Close()
	return err
}

// closeHost ends the host commands. They have a moment only: one may follow a
// log, which has no end.
func (c *core) closeHost(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := c.host.Shutdown(ctx); err != nil {
		return c.host.Close()
	}
	return nil
}

func (c *core) closeLocked() error {
	var err error
	if c.Platform != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if c.host != nil {
			err = c.closeHost(ctx)
		}
		if c.front != nil {
			c.front.Leave()
			c.front = nil
		}
		err = errors.Join(err, c.Platform.Shutdown(ctx), c.Platform.Runtime.Close())
		c.closeRelays(ctx)
		c.closeAccessLog()
		c.Platform = nil
		c.platform.Store(nil)
	}
	if c.services != nil {
		c.exposed.Shut()
		err = errors.Join(err, c.closeAddons())
		c.services = nil
	}
	if c.Repos != nil {
		err = errors.Join(err, c.Repos.Close())
		c.Repos = nil
	}
	if c.store != nil {
		err = errors.Join(err, c.store.Close())
		c.store = nil
	}
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
		c.lock = nil
	}
	c.started = false
	return err
}
