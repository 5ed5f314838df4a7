package serverconfig

import (
	"time"

	"github.com/abilian/hop3/hop3"
)

// key is a row of the table of settings.
type key struct {
	name string
	// aliases are other names of it: older ones, or shorter ones.
	aliases []string
	// fallback is the default; fallbackFor one that depends on the machine.
	fallback    string
	fallbackFor func(machine) string
	set         func(c *Config, text string) error
	show        func(text string) string // hides secrets; nil shows all
	list        bool                     // a file may have it as a list; else commas separate it
	inert       bool                     // known, without effect
	doc         string
}

// keys is every setting there is. A name that begins with HOP3_ may be written
// without it in files and flags; one that does not may be written with it
// everywhere.
var keys = append([]key{
	{name: "HOP3_HOME", aliases: []string{"HOP3_ROOT"}, fallbackFor: defaultHome,
		set: to(func(c *Config) *string { return &c.Home }, absolutePath),
		doc: "the directory that holds everything the server keeps"},
	{name: "HOP3_HOST", fallback: "127.0.0.1",
		set: to(func(c *Config) *string { return &c.Host }, host),
		doc: "the address of the RPC listener"},
	{name: "HOP3_PORT", fallback: "8000",
		set: to(func(c *Config) *int { return &c.Port }, portOrAny),
		doc: "the port of the RPC listener; 0 for any free one"},
	{name: "BIND",
		set: to(func(c *Config) *string { return &c.Bind }, addressOrAll),
		doc: "the address of the public listeners; empty for all"},
	{name: "HOP3_TRUSTED_PROXIES",
		set: to(func(c *Config) *[]string { return &c.TrustedProxies }, hop3.ParseNetworks),
		doc: "networks of proxies in front of the server, whose X-Forwarded-For and -Proto count; empty for none"},
	{name: "HTTP_PORT", fallbackFor: privileged("80", "8080"),
		set: to(func(c *Config) *int { return &c.HTTPPort }, portOrOff),
		doc: "the port for HTTP; 0 or off closes it"},
	{name: "HTTPS_PORT", fallbackFor: privileged("443", "8443"),
		set: to(func(c *Config) *int { return &c.HTTPSPort }, portOrOff),
		doc: "the port for HTTPS; 0 or off closes it"},
	{name: "SSH_PORT", fallback: "2222",
		set: to(func(c *Config) *int { return &c.SSHPort }, portOrOff),
		doc: "the port for git push; 0 or off closes it"},
	{name: "BASE_DOMAIN", fallback: "localhost",
		set: to(func(c *Config) *string { return &c.BaseDomain }, domain),
		doc: "apps are <app>.<base domain>"},
	{name: "ADMIN_DOMAIN",
		set: to(func(c *Config) *string { return &c.AdminDomain }, optional(domain)),
		doc: "the name of the server's own pages"},
	{name: "HOP3_DATABASE_URL", show: withoutPassword,
		set: to(func(c *Config) *string { return &c.DatabaseURL }, anyText),
		doc: "sqlite:///path or postgresql://user:password@host/database; empty for SQLite in the home"},
	{name: "HOP3_SECRET_KEY", show: hidden,
		set: to(func(c *Config) *[]byte { return &c.SecretKey }, optional(secret)),
		doc: "seals the database and signs logins; made once, in the home, when not set"},
	{name: "HOP3_TOKEN_EXPIRY_HOURS", fallback: "24",
		set: to(func(c *Config) *time.Duration { return &c.TokenExpiry }, hours),
		doc: "how long a login lasts"},
	{name: "HOP3_PROXY_TYPE", aliases: []string{"HOP3_PROXY"}, fallback: "caddy",
		set: to(func(c *Config) *string { return &c.Proxy }, word),
		doc: "what sends requests to the apps"},
	{name: "TRAEFIK_BIN",
		set: to(func(c *Config) *string { return &c.TraefikBinary }, optional(absolutePath)),
		doc: "the program traefik, for that proxy; empty looks for it in PATH"},
	{name: "PROCESS_MANAGER", fallback: "auto",
		set: to(func(c *Config) *string { return &c.Runtime }, word),
		doc: "what runs the apps: uwsgi, native, or auto, which is uwsgi where it is installed"},
	{name: "APP_START_TIMEOUT", fallback: "60",
		set: to(func(c *Config) *time.Duration { return &c.StartTimeout }, duration),
		doc: "how long an app may take to answer its first request"},
	{name: "STOP_GRACE", fallback: "10s",
		set: to(func(c *Config) *time.Duration { return &c.StopGrace }, duration),
		doc: "between SIGTERM and SIGKILL"},
	{name: "DRAIN_TIMEOUT", fallback: "60s",
		set: to(func(c *Config) *time.Duration { return &c.DrainTimeout }, duration),
		doc: "how long requests on an old release may go on"},
	{name: "MAX_CONCURRENT_BUILDS", fallback: "2",
		set: to(func(c *Config) *int { return &c.ConcurrentBuilds }, number(1, 1000)),
		doc: "builds at once"},
	{name: "MAX_WAITING_BUILDS", fallback: "32",
		set: to(func(c *Config) *int { return &c.WaitingBuilds }, number(0, 100000)),
		doc: "builds that may wait for their turn"},
	{name: "BUILD_TIMEOUT", fallback: "30m",
		set: to(func(c *Config) *time.Duration { return &c.BuildTimeout }, duration),
		doc: "how long a build may take"},
	{name: "KEEP_RELEASES", fallback: "5",
		set: to(func(c *Config) *int { return &c.KeepReleases }, number(1, 1000)),
		doc: "releases of an app whose files are kept"},
	{name: "MIN_FREE_SPACE", fallback: "256M",
		set: to(func(c *Config) *int64 { return &c.MinFreeSpace }, size),
		doc: "how much of the disk must be free for a deploy to begin"},
	{name: "MIN_FREE_FILES", fallback: "10000",
		set: to(func(c *Config) *int { return &c.MinFreeFiles }, number(0, 1<<30)),
		doc: "how many files the disk must have room for then, where it counts them"},
	{name: "PORT_RANGE", fallback: "20000-29999",
		set: to(func(c *Config) *PortRange { return &c.PortRange }, portRange),
		doc: "the ports apps get"},
	{name: "APP_LOG_MAX_SIZE", fallback: "10M",
		set: to(func(c *Config) *int64 { return &c.LogMaxSize }, size),
		doc: "the size at which a log file of an app is rotated; two older ones are kept"},
	{name: "ISOLATION", fallback: "auto",
		set: to(func(c *Config) *string { return &c.Isolation }, oneOf("auto", "required", "off")),
		doc: "apps run as users of their own who see only their own files: auto where the server has the rights for it, required, or off"},
	{name: "APP_UID_RANGE", fallback: "70000-79999",
		set: to(func(c *Config) *UIDRange { return &c.UIDRange }, uidRange),
		doc: "the numbers of these users, one for each app; nobody else may have them"},
	{name: "LIMITS_STRICT", fallback: "true",
		set: to(func(c *Config) *bool { return &c.LimitsStrict }, boolean),
		doc: "refuse a deploy with [limits] where the server cannot enforce them, instead of a warning"},
	{name: "LIMITS_DEFAULT_MEMORY",
		set: to(func(c *Config) *int64 { return &c.LimitsDefault.Memory }, optional(size)),
		doc: "the memory of an app that says nothing in [limits], as 512M; empty for no limit"},
	{name: "LIMITS_DEFAULT_CPU",
		set: to(func(c *Config) *float64 { return &c.LimitsDefault.CPU }, optional(cores)),
		doc: "the cores of an app that says nothing in [limits], as 0.5; empty for no limit"},
	{name: "LIMITS_DEFAULT_PROCESSES",
		set: to(func(c *Config) *int { return &c.LimitsDefault.Processes }, optional(number(1, 1<<22))),
		doc: "the processes of an app that says nothing in [limits]; empty for no limit"},
	{name: "LIMITS_CEILING_MEMORY",
		set: to(func(c *Config) *int64 { return &c.LimitsCeiling.Memory }, optional(size)),
		doc: "the most memory [limits] may ask for; empty for no ceiling"},
	{name: "LIMITS_CEILING_CPU",
		set: to(func(c *Config) *float64 { return &c.LimitsCeiling.CPU }, optional(cores)),
		doc: "the most cores [limits] may ask for; empty for no ceiling"},
	{name: "LIMITS_CEILING_PROCESSES",
		set: to(func(c *Config) *int { return &c.LimitsCeiling.Processes }, optional(number(1, 1<<22))),
		doc: "the most processes [limits] may ask for; empty for no ceiling"},
	{name: "BUILD_MEMORY",
		set: to(func(c *Config) *int64 { return &c.BuildMemory }, optional(size)),
		doc: "the memory of one build, as 2G; empty for three quarters of the machine's"},
	{name: "PORTS_STRICT", fallback: "false",
		set: to(func(c *Config) *bool { return &c.PortsStrict }, boolean),
		doc: "refuse [[ports]] with a source other than any, which is the firewall's to enforce, instead of a warning"},
	{name: "VOLUMES_BIND_ALLOW", list: true,
		set: to(func(c *Config) *[]hop3.BindRule { return &c.BindAllow }, optional(bindRules)),
		doc: "directories of the host that apps may have as volumes of type bind, separated by commas; with :ro only for reading"},
	{name: "VOLUMES_TMPFS_MAX", fallback: "256M",
		set: to(func(c *Config) *int64 { return &c.TmpfsMax }, sizeOrOff),
		doc: "the most that the volumes in memory of one instance may hold together; 0 or off for no such volumes"},
	{name: "STRICT_BUILDS", fallback: "false",
		set: to(func(c *Config) *bool { return &c.StrictBuilds }, boolean),
		doc: "refuse what a later build could get otherwise, as packages without a lockfile, instead of a warning"},
	{name: "MAX_PUSH_SIZE", fallback: "1G",
		set: to(func(c *Config) *int64 { return &c.MaxPushSize }, size),
		doc: "the largest git push"},
	{name: "PREVIEWS_MAX", fallback: "10",
		set: to(func(c *Config) *int { return &c.PreviewsMax }, number(0, 1000)),
		doc: "previews of an app at a time; 0 for none"},
	{name: "PREVIEW_EXPIRY_HOURS", fallback: "168",
		set: to(func(c *Config) *time.Duration { return &c.PreviewExpiry }, hours),
		doc: "how long a preview lasts after its last push"},
	{name: "PREVIEW_SLEEP_AFTER", fallback: "15m",
		set: to(func(c *Config) *time.Duration { return &c.PreviewSleep }, duration),
		doc: "after how long without a request a preview sleeps"},
	{name: "EVENTS_KEEP", fallback: "365",
		set: to(func(c *Config) *int { return &c.EventsKeep }, number(1, 36500)),
		doc: "how many days events are kept"},
	{name: "EVENTS_MAX", fallback: "200000",
		set: to(func(c *Config) *int { return &c.EventsMax }, number(1000, 1<<30)),
		doc: "how many events are kept; the oldest go first"},
	{name: "CLONE_ALLOW_PRIVATE", fallback: "false",
		set: to(func(c *Config) *bool { return &c.CloneAllowPrivate }, boolean),
		doc: "let apps be fetched from addresses of this machine and its own networks"},
	{name: "HOP3_MAX_ARCHIVE_SIZE", fallback: "1G",
		set: to(func(c *Config) *int64 { return &c.MaxArchiveSize }, size),
		doc: "the largest uploaded archive"},
	{name: "HOP3_MAX_EXTRACTED_SIZE", fallback: "5G",
		set: to(func(c *Config) *int64 { return &c.MaxExtractedSize }, size),
		doc: "the most an archive may unpack to"},
	{name: "HOP3_MAX_ARCHIVE_MEMBERS", fallback: "50000",
		set: to(func(c *Config) *int { return &c.MaxArchiveMembers }, number(1, 10_000_000)),
		doc: "the most files in an archive"},
	{name: "METRICS_TOKEN", show: hidden,
		set: to(func(c *Config) *[]byte { return &c.MetricsToken }, optional(token)),
		doc: "what Prometheus sends as its bearer token to read /metrics, and nothing else; empty for the tokens of administrators only"},
	{name: "METRICS_ALLOW",
		set: to(func(c *Config) *[]string { return &c.MetricsAllow }, hop3.ParseNetworks),
		doc: "networks from which /metrics is read without a token, as 127.0.0.1; every app of this machine is in 127.0.0.0/8; empty for none"},
	{name: "HOP3_LOG_LEVEL", fallback: "info",
		set: to(func(c *Config) *string { return &c.LogLevel }, logLevel),
		doc: "debug, info, warn or error"},
	{name: "ACME_ENGINE", fallback: "acme",
		set: to(func(c *Config) *string { return &c.ACME.Engine }, oneOf("acme", "certbot", "self-signed")),
		doc: "where certificates for public names come from: acme (certbot means the same), or self-signed, the server's own authority"},
	{name: "ACME_EMAIL",
		set: to(func(c *Config) *string { return &c.ACME.Email }, anyText),
		doc: "the address given to the certificate authority"},
	{name: "OPERATOR_EMAIL",
		set: to(func(c *Config) *string { return &c.Operator }, anyText),
		doc: "the address that apps get for email = \"operator\" in [admin]; empty for that of ACME_EMAIL"},
	{name: "ACME_SERVER",
		set: to(func(c *Config) *string { return &c.ACME.Server }, optional(httpsURL)),
		doc: "the URL of the certificate authority's directory; empty for Let's Encrypt"},
	{name: "ACME_ROOT_CA",
		set: to(func(c *Config) *string { return &c.ACME.RootCA }, fileOrName),
		doc: "the PEM file of the authority's root, when machines do not know it"},
	{name: "ACME_EAB_KEY_ID",
		set: to(func(c *Config) *string { return &c.ACME.KeyID }, anyText),
		doc: "the account that the authority wants named (external account binding)"},
	{name: "ACME_EAB_HMAC_KEY", show: hidden,
		set: to(func(c *Config) *string { return &c.ACME.MACKey }, anyText),
		doc: "its key"},
	{name: "ACME_DNS_PROVIDER",
		set: to(func(c *Config) *string { return &c.ACME.DNSProvider }, optional(word)),
		doc: "the DNS provider for wildcard certificates, among those the server was built with"},
	{name: "ACME_DNS_CONFIG", show: hidden,
		set: to(func(c *Config) *string { return &c.ACME.DNSConfig }, anyText),
		doc: "its settings, as a JSON object"},
}, inert(
	"HOP3_USER", "MODE", "HOP3_DEBUG", "HOP3_UNSAFE", "HOP3_SKIP_CONFIG_VALIDATION",
	"EXPOSE_DEFAULT_SOURCE", "CATALOG_SOURCE_URL",
	"HOP3_EXTRA_PG_EXTENSIONS", "HOP3_S3_BACKEND",
)...)

// inert are the keys of Hop3 (Python) that change nothing here: a file that
// has them still loads.
func inert(names ...string) []key {
	out := make([]key, 0, len(names))
	for _, name := range names {
		out = append(out, key{name: name, inert: true, doc: "has no effect",
			set: func(*Config, string) error { return nil }})
	}
	return out
}

func privileged(root, other string) func(machine) string {
	return func(m machine) string {
		if m.root {
			return root
		}
		return other
	}
}
