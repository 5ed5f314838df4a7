package hop3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// AddonProvider makes and keeps the addons of one type: the databases of
// PostgreSQL, the buckets of S3. It is a Caddy module in the namespace
// hop3.addons, safe for concurrent use, and passes the suite hop3test.Addon.
//
// What an addon is made of is settled, and stored, before anything is made:
// so a server that is killed at any point finds again, and completes or
// removes, all that it has begun. Create, Destroy and the other verbs are
// therefore idempotent, and know nothing but what they are given.
//
// Errors are sentences for users: CodeUnavailable with a hint where the
// service is not installed, does not answer, or refuses the server's password.
// No error contains a secret.
type AddonProvider interface {
	// Name is the type: "postgres".
	Name() string
	// Open is called once, before all else, with what the provider works with.
	// It has no side effects.
	Open(s AddonServer) error
	// Plan settles what a new addon will be made of: names, passwords, on
	// which server. It makes nothing of its own but what addons may share, such
	// as the service they are in. It refuses, with a CodeInvalid error, options
	// it does not know and values it does not allow.
	Plan(ctx context.Context, a Addon) (AddonDetails, error)
	// Create makes what a.Details say, or completes it.
	Create(ctx context.Context, a Addon) error
	// Destroy removes all that Create makes, with the data in it; what is not
	// there is no error.
	Destroy(ctx context.Context, a Addon) error
	// Variables are what an app needs to use the addon, without a prefix.
	// They follow from a.Details alone.
	Variables(a Addon) Env
	// Endpoint is where the addon is reached.
	Endpoint(a Addon) AddonEndpoint
	// Status returns what is worth knowing of the addon, in order: its size,
	// the version of the server, how many are connected. An error says that it
	// does not work, and why.
	Status(ctx context.Context, a Addon) ([]AddonFact, error)
}

// Addon is one database, bucket or other service that apps are given.
type Addon struct {
	Type   string
	Name   string // unique among those of the type
	Status AddonStatus
	// Dedicated asks for a service of its own, where addons otherwise share one.
	Dedicated bool
	// Options are what is asked for beside: the extensions of PostgreSQL.
	Options map[string][]string
	// Details are the provider's own: names, passwords, ports. They are sealed
	// at rest and shown to nobody.
	Details AddonDetails
	// Next are the details that a rotation is on its way to, Last those that it
	// has left and that are still valid; nil when none is under way.
	Next, Last AddonDetails
	// Exposed says that the network reaches it; nil that only this machine does.
	Exposed   *Exposure
	Team      string // whose it is; see App.Team
	CreatedBy string // username
	// App is the app whose manifest it was made for; "" for those made by
	// command.
	App       string
	CreatedAt time.Time
}

// AddonDetails are what an addon is made of.
type AddonDetails map[string]string

// AddonStatus is where an addon is in its life.
type AddonStatus string

// The statuses of an addon.
const (
	AddonCreating   AddonStatus = "creating"   // may exist half
	AddonReady      AddonStatus = "ready"      // works
	AddonDestroying AddonStatus = "destroying" // may be half gone
)

var addonName = pattern(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)

// ValidateAddonName reports a CodeInvalid error unless name can be an addon's:
// as an app's, but for the names of one and two characters, which it may have.
func ValidateAddonName(name string) error {
	if addonName().MatchString(name) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be an addon's name", shorten(name, 80)).
		WithHint("A name has up to 63 letters, digits, '-' or '_', and begins and ends with a letter or digit.")
}

// AddonID names an addon.
type AddonID struct{ Type, Name string }

// ID names the addon.
func (a Addon) ID() AddonID { return AddonID{a.Type, a.Name} }

// String returns "postgres 'db'".
func (id AddonID) String() string { return id.Type + " '" + id.Name + "'" }

// Attachment is the link of an addon to an app.
type Attachment struct {
	App  string
	Type string
	Name string // of the addon
	// Primary says that the app gets the addon's variables without a prefix.
	// Of the addons of a type that an app has, one is.
	Primary bool
	At      time.Time
}

// Addon names what is attached.
func (a Attachment) Addon() AddonID { return AddonID{a.Type, a.Name} }

// Prefix is what the names of the variables begin with: "" for the primary
// addon of its type, "CACHE2_" for another one called cache2, and for one that
// was restored in its place.
func (a Attachment) Prefix() string {
	if a.Primary {
		return ""
	}
	return variablePrefix(restoredSuffix().ReplaceAllString(a.Name, ""))
}

// OwnPrefix is a prefix that no other addon of its type has.
func (a Attachment) OwnPrefix() string { return variablePrefix(a.Name) }

func variablePrefix(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_"
}

// restoredSuffix ends the names of addons that were restored in the place of
// others.
var restoredSuffix = pattern(`-r[0-9a-f]{6}$`)

// RestoredAddonName returns the name of an addon that is restored in the place
// of the one of this name, itself perhaps such a one.
func RestoredAddonName(name string) string {
	const longest = 50
	name = restoredSuffix().ReplaceAllString(name, "")
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return name[:min(len(name), longest)] + "-r" + hex.EncodeToString(b[:])
}

// RestoredFrom reports whether an addon's name is that of one that was restored
// in the place of another one's.
func RestoredFrom(name, other string) bool {
	rest, ok := strings.CutPrefix(name, other)
	return ok && rest != "" && restoredSuffix().FindString(rest) == rest
}

// AddonEndpoint is where an addon is reached from this server.
type AddonEndpoint struct {
	Host string
	Port int
	URL  string // with the password
}

// AddonFact is a line of what is known of an addon.
type AddonFact struct{ Property, Value string }

// AddonServer is what of the server a provider works with.
type AddonServer interface {
	// Setting returns a setting of the server by its name: POSTGRES_HOST.
	Setting(key string) string
	// Services are those that the server runs itself.
	Services() Services
}

// Services runs, for providers, servers of their own: a PostgreSQL where none
// is configured. They outlive the server, as apps do, are started again when
// they end, and have a user of their own where apps are isolated. It is safe
// for concurrent use.
type Services interface {
	// Prepare makes the directory of a service and gives it to the service's
	// user. A name has lower case letters, digits and '-'.
	Prepare(ctx context.Context, name string) (ServiceDir, error)
	// Run runs a program of the service to its end, as its user and in its
	// directory: initdb. The error of one that fails ends with what it wrote.
	Run(ctx context.Context, name string, env Env, argv ...string) error
	// Start starts the service, or adopts what an earlier server left running.
	// It does not wait until it answers.
	Start(ctx context.Context, s Service) error
	// Stop ends a service and waits; one that does not run is no error.
	Stop(ctx context.Context, name string) error
	// Remove ends a service and deletes all it has.
	Remove(ctx context.Context, name string) error
	// FreePort returns a port of the loopback that nothing listens on.
	FreePort() (int, error)
}

// Service is a server that Hop3 runs for addons.
type Service struct {
	Name string
	Args []string // argv; it stays in the foreground
	Env  Env
}

// ServiceDir is where a service keeps what it has.
type ServiceDir struct {
	Data string // belongs to its user, mode 0700
	Log  string // what it writes to stdout and stderr
	User string // "" where it runs as the server does
}

// AddonRotator is implemented by providers whose addons can get other
// credentials while the old ones go on working, until every app has the new.
type AddonRotator interface {
	// Rotated returns the details with other credentials. It makes nothing:
	// Create then makes the new credentials valid beside the old.
	Rotated(ctx context.Context, a Addon) (AddonDetails, error)
	// Revoke ends the credentials that old has and a has not.
	Revoke(ctx context.Context, a Addon, old AddonDetails) error
}

// AddonSharer is implemented by providers whose addons share a service that the
// server runs, when no other is configured.
type AddonSharer interface {
	// Rest ends the service unless one of addons, which are all there are of the
	// type, is in it. What it holds is kept: the next Plan starts it again. It is
	// no error when there is no such service. No Plan is under way meanwhile.
	Rest(ctx context.Context, addons []Addon) error
}

// AddonDumper is implemented by providers whose addons can be backed up. All
// is streamed: neither side holds more than a few MiB at once.
type AddonDumper interface {
	// DumpSuffix is how the name of a dump's file ends: ".sql".
	DumpSuffix() string
	// Dump writes all that an addon holds, as it is at one moment, and returns
	// how much that is.
	Dump(ctx context.Context, a Addon, w io.Writer) (Inventory, error)
	// Restore replaces all that an addon holds by a dump, of this addon or of
	// another one. When it fails the addon holds what it held before, where the
	// service can do that, and otherwise the error says that it does not.
	Restore(ctx context.Context, a Addon, r io.Reader) error
	// Inventory counts what an addon holds now.
	Inventory(ctx context.Context, a Addon) (Inventory, error)
}

// Inventory is how much of each thing an addon holds: "public.users" rows,
// "objects", "bytes". Two that are equal are the proof of a restore.
type Inventory map[string]int64

// AddonActions is implemented by providers with commands of their own, as
// `hop3 addon postgres query db`.
type AddonActions interface {
	Actions() []AddonAction
}

// AddonAction is such a command.
type AddonAction struct {
	Name    string // "query"
	Aliases []string
	Summary string // at most 60 characters
	// Usage is what follows the addon's name: "[SQL…]"; "" for nothing.
	Usage string
	// Changes says that it may change data, or show what is in it: it takes
	// the role deployer. Otherwise viewers may.
	Changes bool
	// Destroys has clients ask whether it is meant.
	Destroys bool
	// Run returns what is shown. Args are what the user wrote.
	Run func(ctx context.Context, a Addon, args []string) (AddonReport, error)
}

// AddonReport is what an action shows: a text, a table, or both.
type AddonReport struct {
	Text    string
	Headers []string
	Rows    [][]string
}

// AddonRequest asks for an addon.
type AddonRequest struct {
	Type, Name string
	Dedicated  bool
	Options    map[string][]string
	// Secrets are what the user gives that nobody else may see: Plan finds them
	// in Addon.Details.
	Secrets AddonDetails
}

// CheckInventory returns an error that says in what two inventories differ.
func CheckInventory(want, got Inventory) error {
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if n, has := got[name]; !has || n != want[name] {
			differ = append(differ, fmt.Sprintf("%s: %d, not %d", name, n, want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, known := want[name]; !known {
			differ = append(differ, fmt.Sprintf("%s: %d, not 0", name, got[name]))
		}
	}
	if len(differ) == 0 {
		return nil
	}
	const most = 5
	if more := len(differ) - most; more > 0 {
		differ = append(differ[:most], fmt.Sprintf("and %d more", more))
	}
	return Errorf(CodeInternal, "what was restored is not what was dumped: %s", strings.Join(differ, "; "))
}

// Exposure is that the network reaches an addon, by a port of the server.
type Exposure struct {
	Port   int
	Source string // the network that may; SourceAny for all
}

// SourceAny is every network.
const SourceAny = "any"

// OpenPort is a port that is passed on to an addon.
type OpenPort struct {
	Port    int
	Target  string // host:port
	Sources []netip.Prefix
}

// ExposureSources reads who may reach an exposed addon: networks or addresses,
// between commas, or SourceAny.
func ExposureSources(text string) ([]netip.Prefix, error) {
	if text == SourceAny {
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, nil
	}
	var all []netip.Prefix
	for _, one := range strings.Split(text, ",") {
		one = strings.TrimSpace(one)
		if a, err := netip.ParseAddr(one); err == nil {
			all = append(all, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(one)
		if err != nil {
			return nil, Errorf(CodeInvalid, "%.60q is no network", one).WithHint("Write 203.0.113.0/24, an address, or any.")
		}
		all = append(all, network.Masked())
	}
	return all, nil
}
