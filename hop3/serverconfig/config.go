// Package serverconfig is the configuration of a Hop3 server: one table of
// keys, read from flags, the environment and TOML files, and the home
// directory that a server owns.
package serverconfig

import (
	"os"
	"path/filepath"
	"time"

	"github.com/abilian/hop3/hop3"
)

// ACME is how certificates for public names are asked for.
type ACME struct {
	Engine      string // acme, certbot or self-signed
	Email       string
	Server      string // URL of the directory; "" for Let's Encrypt
	RootCA      string // file; "" for the machine's roots
	KeyID       string // external account binding
	MACKey      string
	DNSProvider string
	DNSConfig   string // JSON object; may hold secrets
	Resolvers   []string
	// Storage is the directory, or the storage module of Caddy as a JSON object,
	// that several servers share; "" for the home's.
	Storage string
}

// SMTP is the mail server that notices are sent by.
type SMTP struct {
	Host, User, Password, From string
	Port                       int
	TLS                        string // starttls, tls or none
}

// Config is a server's configuration, complete and valid. See keys.go for what
// each setting means.
type Config struct {
	Home string // absolute
	Host string // of the RPC listener
	Port int    // of the RPC listener; 0 for any free one
	Bind string // address of the public listeners; "" for all
	// TrustedProxies are the networks of proxies in front of us, whose word on
	// who the client is counts.
	TrustedProxies []string
	HTTPPort       int // 0: closed
	HTTPSPort      int // 0: closed
	SSHPort        int // 0: closed
	BaseDomain     string
	AdminDomain    string
	DatabaseURL    string // may contain a password
	SecretKey      []byte // set by Prepare when nothing else did
	TokenExpiry    time.Duration
	Proxy          string
	TraefikBinary  string // absolute; "" looks for it in PATH
	Runtime        string // "auto" or the name of a runtime
	StartTimeout   time.Duration
	StopGrace      time.Duration
	DrainTimeout   time.Duration

	ConcurrentBuilds int
	WaitingBuilds    int
	BuildTimeout     time.Duration
	KeepReleases     int
	MinFreeSpace     int64 // bytes
	MinFreeFiles     int
	PortRange        PortRange
	LogMaxSize       int64 // bytes

	AccessLog    string   // json, combined or off
	MetricsToken []byte   // a secret; empty for none
	MetricsAllow []string // networks that need none

	Isolation     string // auto, required or off
	UIDRange      UIDRange
	LimitsStrict  bool
	LimitsDefault hop3.Limits
	LimitsCeiling hop3.Limits
	BuildMemory   int64 // bytes; 0 for a share of the machine's
	StrictBuilds  bool

	BindAllow []hop3.BindRule // what volumes of type bind may be
	TmpfsMax  int64           // bytes of an instance's volumes in memory; 0 for none

	PortsStrict bool

	MaxPushSize       int64 // bytes
	CloneAllowPrivate bool
	PreviewsMax       int
	PreviewExpiry     time.Duration
	EventsKeep        int // days
	EventsMax         int

	NotifyAllowPrivate bool
	SMTP               SMTP
	PreviewSleep       time.Duration
	MaxArchiveSize     int64 // bytes
	MaxExtractedSize   int64 // bytes
	MaxArchiveMembers  int

	// Addons are the settings of the providers of addons, by name; some are
	// secrets.
	Addons map[string]string

	Backups Backups

	LogLevel string // debug, info, warn or error
	ACME     ACME
	OIDC     OIDC
	Operator string // the address of who runs the server; that of ACME unless set

	// Inert are the keys that were set and have no effect in this Hop3.
	Inert []string

	rows []Row
}

// ControlHost is the public name of the server's own API.
func (c *Config) ControlHost() string {
	if c.AdminDomain != "" {
		return c.AdminDomain
	}
	return "hop3." + c.BaseDomain
}

// UIDRange is a range of user ids, both ends included.
type UIDRange struct{ First, Last int }

// PortRange is a range of TCP ports, both ends included.
type PortRange struct{ First, Last int }

// Row tells where one setting comes from.
type Row struct {
	Key    string
	Value  string // without secrets
	Source string // "flag --port", "environment HOP3_PORT", "/etc/hop3/config.toml:3" or "default"
	Doc    string
}

// Explain returns a row for each key, in the order of the documentation.
func (c *Config) Explain() []Row { return c.rows }

// Options say where Load looks. The zero value is right for a server.
type Options struct {
	// Flags are what the command line set, by key: "http-port" is HTTP_PORT.
	Flags map[string]string
	// LookupEnv reads the environment; nil means os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// File is a file to read instead of the usual ones. It must exist.
	File string
	// NoFiles makes Load read no file.
	NoFiles bool
	// EUID returns the user id the defaults are for; nil means os.Geteuid.
	EUID func() int
}

// The files that are read when they exist. The second one is in the home and
// wins over the first.
const (
	systemFile = "/etc/hop3/config.toml"
	homeFile   = "hop3-server.toml"
)

// Load reads the configuration. A flag wins over the environment, that over
// the files, and these over the defaults; an empty value counts as none. An
// unknown key in a file, or a value a key cannot have, is a CodeInvalid error
// that names it and where it was. Load changes nothing.
func Load(o Options) (*Config, error) {
	l, err := newLoader(o)
	if err != nil {
		return nil, err
	}
	if err := l.readFiles(); err != nil {
		return nil, err
	}
	c := &Config{}
	for i := range keys {
		k := &keys[i]
		v := l.value(k)
		if err := k.set(c, v.text); err != nil {
			return nil, badValue(k, v, err)
		}
		c.rows = append(c.rows, Row{Key: k.name, Value: k.shown(v.text), Source: v.source, Doc: k.doc})
		if k.inert && v.source != sourceDefault {
			c.Inert = append(c.Inert, k.name)
		}
	}
	c.lendSMTP()
	if c.Operator == "" {
		c.Operator = c.ACME.Email
	}
	if err := c.checkPorts(); err != nil {
		return nil, err
	}
	if err := c.checkOIDC(); err != nil {
		return nil, err
	}
	return c, nil
}

// Ports are the ports that the server listens on itself, with their settings'
// names.
func (c *Config) Ports() map[int]string {
	ports := map[int]string{c.Port: "HOP3_PORT", c.HTTPPort: "HTTP_PORT", c.HTTPSPort: "HTTPS_PORT", c.SSHPort: "SSH_PORT"}
	delete(ports, 0)
	return ports
}

// checkPorts reports two uses of one port.
func (c *Config) checkPorts() error {
	uses := map[int]string{}
	for _, p := range []struct {
		key  string
		port int
	}{{"HOP3_PORT", c.Port}, {"HTTP_PORT", c.HTTPPort}, {"HTTPS_PORT", c.HTTPSPort}, {"SSH_PORT", c.SSHPort}} {
		if p.port == 0 {
			continue
		}
		if other, used := uses[p.port]; used {
			return hop3.Errorf(hop3.CodeInvalid, "%s and %s are both %d", other, p.key, p.port)
		}
		if c.PortRange.First <= p.port && p.port <= c.PortRange.Last {
			return hop3.Errorf(hop3.CodeInvalid, "%s is %d, which is in the PORT_RANGE of the apps", p.key, p.port)
		}
		uses[p.port] = p.key
	}
	return nil
}

func badValue(k *key, v value, err error) error {
	if k.show != nil {
		return hop3.Errorf(hop3.CodeInvalid, "%s (%s): %w", k.name, v.source, err)
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s cannot be %q (%s): %w", k.name, k.shown(v.text), v.source, err)
}

// defaultHome is the home of the system's server for root, and one in the
// user's data directory (XDG) for anybody else.
func defaultHome(m machine) string {
	if m.root {
		return "/home/hop3"
	}
	if data, ok := m.lookup("XDG_DATA_HOME"); ok && filepath.IsAbs(data) {
		return filepath.Join(data, "hop3")
	}
	if home, ok := m.lookup("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "hop3")
	}
	return ""
}

// machine is what the defaults depend on.
type machine struct {
	root   bool
	lookup func(string) (string, bool)
}

func (o Options) machine() machine {
	m := machine{lookup: o.LookupEnv}
	if m.lookup == nil {
		m.lookup = os.LookupEnv
	}
	euid := o.EUID
	if euid == nil {
		euid = os.Geteuid
	}
	m.root = euid() == 0
	return m
}
