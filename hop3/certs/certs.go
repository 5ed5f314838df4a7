// Package certs keeps the certificates of the apps' hosts: those of a public
// authority, by ACME (RFC 8555), those of our own authority for local names,
// and those that users bring. It is certmagic with our rules: only hosts of
// apps get one, a failed attempt is not repeated before its time, and what went
// wrong is known by the host.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Options are what a Keeper works on. All but Own and Logger are required.
type Options struct {
	// AppOf returns the app that a host belongs to, "" for nobody's. exactly
	// says that the app lists the host itself, not a wildcard over it.
	AppOf func(host string) (app string, exactly bool)
	// Hosts returns the hosts that have a certificate before anybody asks for
	// it.
	Hosts func() []string
	// Dir is where the certificates are that users bring.
	Dir string
	Own []string // hosts of the server itself
	// Outcome is told how each attempt for a host ended; nil for nobody.
	Outcome func(host string, err error)
	// Every is how often Run looks for what is missing, a minute when it is 0.
	Every  time.Duration
	Logger *zap.Logger
}

// Keeper keeps certificates. It is safe for concurrent use.
type Keeper struct {
	options Options
	cache   *certmagic.Cache
	custom  custom
	staples staples

	mu       sync.Mutex
	sources  *sources // nil before Use
	records  map[string]*record
	attempts map[string]*attempt
	good     map[string]time.Time // until when the certificate of a subject needs nothing
	changed  []func(host string)

	slots chan struct{} // holds a value for each attempt under way
	ctx   context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	closed sync.Once
}

// sources are the authorities of one configuration of the server.
type sources struct {
	public, local *certmagic.Config
	wildcards     bool // the public one can vouch for wildcards
	shared        bool // the public one's certificates are also other servers'
}

// record is how the last attempt for a host ended, if it failed.
type record struct {
	failures int
	err      error
	at, next time.Time
}

// atOnce is how many certificates are asked for at the same time.
const atOnce = 8

// New returns a keeper. It asks nobody before Use.
func New(o Options) *Keeper {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	k := &Keeper{
		options: o, custom: custom{dir: o.Dir},
		records: map[string]*record{}, attempts: map[string]*attempt{}, good: map[string]time.Time{},
		slots: make(chan struct{}, atOnce),
	}
	k.ctx, k.end = context.WithCancel(context.Background())
	k.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(c certmagic.Certificate) (*certmagic.Config, error) {
			if len(c.Names) == 0 {
				return nil, errors.New("a certificate without names")
			}
			return k.config(c.Names[0])
		},
		Logger: zap.NewNop(), // what happens is in the events
	})
	return k
}

// Close ends what the keeper does in the background, and waits for that. Later
// calls do nothing.
func (k *Keeper) Close() {
	k.closed.Do(func() {
		k.end()
		k.tasks.Wait()
		k.cache.Stop()
	})
}

// Authorities are where certificates come from.
type Authorities struct {
	Storage       certmagic.Storage
	Public, Local []certmagic.Issuer
	// Shared is where those of the public ones are kept, with the accounts, when
	// other servers have them too: who asks first asks for all, and each answers
	// the HTTP challenges of the others. nil for Storage.
	Shared certmagic.Storage
	// Wildcards says that the public ones can be asked for wildcards, which
	// they give by the DNS challenge only.
	Wildcards bool
}

// Use makes these the authorities from now on.
func (k *Keeper) Use(a Authorities) {
	config := func(storage certmagic.Storage, issuers []certmagic.Issuer) *certmagic.Config {
		cfg := certmagic.New(k.cache, certmagic.Config{
			Storage: storage, Issuers: issuers, OnEvent: k.event, Logger: zap.NewNop(),
		})
		for _, issuer := range issuers {
			if s, ok := issuer.(interface{ SetConfig(*certmagic.Config) }); ok {
				s.SetConfig(cfg)
			}
		}
		return cfg
	}
	public := a.Storage
	if a.Shared != nil {
		public = a.Shared
	}
	s := &sources{public: config(public, a.Public), local: config(a.Storage, a.Local), wildcards: a.Wildcards, shared: a.Shared != nil}
	k.mu.Lock()
	k.sources = s
	k.mu.Unlock()
}

// OnChange has f called with each host that gets another certificate, "" when
// it may be any. It must not block.
func (k *Keeper) OnChange(f func(host string)) {
	k.mu.Lock()
	k.changed = append(k.changed, f)
	k.mu.Unlock()
}

// config returns the configuration that a host's certificates are made by.
func (k *Keeper) config(host string) (*certmagic.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.sources == nil:
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the server has no HTTPS")
	case hop3.LocalHost(strings.TrimPrefix(host, "*.")):
		return k.sources.local, nil
	}
	return k.sources.public, nil
}

// subject returns the name to ask a certificate for, so that it is good for
// host: the host itself, or a wildcard that an app lists where the authority
// gives such; "" when host is nobody's, or there can be none.
func (k *Keeper) subject(host string) (app, subject string) {
	for _, own := range k.options.Own {
		if own == host {
			return "", host
		}
	}
	app, exactly := k.options.AppOf(host)
	if app == "" {
		return "", ""
	}
	_, parent, _ := strings.Cut(host, ".")
	if exactly && !strings.HasPrefix(host, "*.") {
		return app, host
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sources != nil && k.sources.wildcards && !hop3.LocalHost(parent) {
		return app, "*." + parent
	}
	return app, ""
}

// cached returns the certificate in memory for a subject, nil when none is
// valid. Not by certmagic's GetCertificate: that would wait, for a name that is
// not in memory, for the handshake we are in the middle of.
func (k *Keeper) cached(subject string) *tls.Certificate {
	now := time.Now()
	var best *certmagic.Certificate
	for _, c := range k.cache.AllMatchingCertificates(subject) {
		if c.Leaf != nil && now.Before(c.Leaf.NotAfter) && (best == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = &c
		}
	}
	if best == nil {
		return nil
	}
	return &best.Certificate
}

// handshakeWait is how long a visitor waits for a certificate that is not there
// yet.
const handshakeWait = 60 * time.Second

// GetCertificate returns the certificate for a handshake: certmagic.Manager. It
// returns nil, nil for a name that is not ours to have one for.
func (k *Keeper) GetCertificate(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := hop3.NormalizeHost(hello.ServerName)
	if host == "" {
		return nil, nil
	}
	app, subject := k.subject(host)
	if app != "" {
		if cert := k.custom.find(app, host, time.Now()); cert != nil {
			return k.stapled(cert), nil
		}
	}
	if subject == "" {
		return nil, nil
	}
	cfg, err := k.config(subject)
	if err != nil {
		return nil, err
	}
	if cert := k.cached(subject); cert != nil {
		return cert, nil
	}
	loaded, err := cfg.CacheManagedCertificate(ctx, subject)
	expired := err == nil
	if expired && time.Now().Before(loaded.Leaf.NotAfter) {
		return &loaded.Certificate, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeWait, fmt.Errorf("no certificate for %s within %s", host, handshakeWait))
	defer cancel()
	if err := k.get(ctx, subject, expired, false); err != nil {
		return nil, err
	}
	cert, err := cfg.CacheManagedCertificate(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate for %s: %w", subject, err)
	}
	return &cert.Certificate, nil
}
