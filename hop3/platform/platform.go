// Package platform is the one layer of verbs: what a Hop3 server can do, one
// file per use. It orchestrates and does nothing itself: processes, SQL, HTTP,
// git and Caddy are behind the interfaces of this file. Every front door (SSH,
// RPC, pages) calls it.
package platform

import (
	"context"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Platform is the verbs over what does the work. All exported fields are
// required, unless they say otherwise, and not changed after Reconcile; its methods are safe for
// concurrent use.
type Platform struct {
	Store    Store
	Runtime  hop3.Runtime
	Builders func() []hop3.Builder // in order of preference
	Proxy    hop3.Proxy
	Repos    Repositories
	Prober   Prober
	Auth     Authenticator
	Files    Files
	Certs    Certificates
	// Notifier sends notices; nil sends none.
	Notifier Notifier
	SignOn   SingleSignOn // nil where none is set up
	Firewall Firewall     // nil where the proxy has none
	Failures Failures     // nil: no request that failed is remembered
	// Providers are those of addons, in the order of their types.
	Providers []hop3.AddonProvider
	// ServicePorts returns which services of the server's own have which TCP
	// ports, also those that are down; nil for none.
	ServicePorts func() map[int]string
	// Exposer lets the network reach addons; nil: nothing does.
	Exposer Exposer
	// Servers reaches those that apps go to, Relays pass on what is asked of
	// such apps; nil: no app goes.
	Servers  OtherServers
	Relays   Relays
	Logger   *zap.Logger
	Settings Settings

	Backups Backups // nil makes none
	// CopyDatabase writes a copy of the server's own database to a new file.
	CopyDatabase func(ctx context.Context, file string) error

	locks locks
	// backupLocks keep two from working on one backup, by its ID.
	backupLocks locks
	overdue     overdue
	queue       queue
	tasks       tasks

	changes changes
	moves   moves

	cron    cronJobs
	running running

	unsettled unsettled
	deploys   ended
	expiries  expiries
	cpus      cpus
	networks  sync.Mutex       // held while they change
	clock     func() time.Time // nil: the time; replaced by tests
	webhooks  rate
	presence  presence
	webLogins webLogins

	noted     noted
	diskLow   atomic.Bool
	existence existence
	expiry    expiry

	addonsTried triedReleases
	addonPlans  addonPlans
}

// Settings are the server's settings that the verbs need.
type Settings struct {
	Home             string        // the server's home directory
	BaseDomain       string        // apps are <app>.<BaseDomain>
	ControlHost      string        // the server's own name, which no app can have
	StartTimeout     time.Duration // default deadline of the readiness gate
	StopGrace        time.Duration // between SIGTERM and SIGKILL
	DrainTimeout     time.Duration // how long requests on an old release may go on
	KeepReleases     int           // releases whose files are kept
	MinFreeSpace     int64         // bytes of the disk that a deploy needs to begin
	MinFreeFiles     int           // files that it must have room for
	ConcurrentBuilds int
	WaitingBuilds    int           // builds that may wait for their turn
	PreviewsMax      int           // of each app
	PreviewExpiry    time.Duration // after the last push of a preview
	PreviewSleep     time.Duration // without a request, until a preview sleeps
	BuildTimeout     time.Duration // of one build; 0 for no limit
	HTTPPort         int           // for the URLs told to people; 0 when closed
	HTTPSPort        int
	SSHPort          int
	// LimitsDefault holds for apps that ask for none, LimitsCeiling for all.
	LimitsDefault, LimitsCeiling hop3.Limits
	// LimitsMissing says why limits are not enforced; nil when they are.
	LimitsMissing error
	LimitsStrict  bool // refuse what asks for limits that are not enforced
	StrictBuilds  bool // every build is as with [build].strict
	// BindAllow is what volumes of type bind may be, TmpfsMax how many bytes
	// an instance's volumes in memory hold together; 0 allows none.
	BindAllow     []hop3.BindRule
	TmpfsMax      int64
	OperatorEmail string // the address of who runs the server; may be empty
	// EventsKeep is how long events are kept, EventsMax how many; 0 for all.
	EventsKeep time.Duration
	EventsMax  int
	// BackupsKeep is how many backups by an app's schedule are kept, where the
	// app does not say.
	BackupsKeep int
	// BackupSchedule is when the server's own database is backed up, as cron
	// has it, in UTC; "" for never by itself.
	BackupSchedule string
	// ServerPorts are the server's own ports by name, AppPorts the first and
	// the last that $PORT can be.
	ServerPorts map[int]string
	AppPorts    [2]int
	SignOn      hop3.SignOnRules
	// ExposeSource is who may reach an exposed addon when nobody says.
	ExposeSource string
	PortsStrict  bool // refuse ports whose source nobody enforces
	// NotIsolated says why apps are not isolated; nil when they are.
	NotIsolated error
}

// Store is the truth. See hop3/store; every method is a transaction of its
// own, in which the events of what it does are stored too. Look-ups of what
// does not exist return a CodeNotFound error.
type Store interface {
	Apps(ctx context.Context) ([]hop3.App, error) // ordered by name
	App(ctx context.Context, name string) (hop3.App, error)
	// CreateApp returns a CodeConflict error when the name, or another one
	// with the same hop3.HostLabel, is taken.
	CreateApp(ctx context.Context, app hop3.App, events ...hop3.Event) error
	// UpdateApp reads the app, lets change alter it, and writes it back in
	// one transaction. An error of change is returned, nothing is written.
	UpdateApp(ctx context.Context, name string, change func(*hop3.App) error, events ...hop3.Event) (hop3.App, error)
	// DeleteApp deletes the app with all that hangs on it.
	DeleteApp(ctx context.Context, name string, events ...hop3.Event) error

	// NewRelease stores r under the app's next number, which is never used
	// twice, and returns it with Number and CreatedAt set.
	NewRelease(ctx context.Context, r hop3.Release) (hop3.Release, error)
	Release(ctx context.Context, app string, number int) (hop3.Release, error)
	Releases(ctx context.Context, app string) ([]hop3.Release, error) // newest first
	UpdateRelease(ctx context.Context, app string, number int, change func(*hop3.Release) error, events ...hop3.Event) (hop3.Release, error)
	// DeleteRelease forgets a release, not its number.
	DeleteRelease(ctx context.Context, app string, number int, events ...hop3.Event) error
	// Commit makes a release the live one: it becomes live, the one that was
	// becomes retired, the app's Live, State (running) and Error change, and
	// the app's hosts become exactly r.Hosts, in one transaction; an app that
	// was asleep is not any more. It returns a
	// CodeConflict error naming the owner when a host belongs to another app.
	Commit(ctx context.Context, app string, number int, events ...hop3.Event) error
	// ClaimPorts makes ports all that an app has; Commit does so too. It
	// returns a CodeConflict error naming the owner of one that is taken.
	ClaimPorts(ctx context.Context, app string, ports []hop3.Port) error
	Ports(ctx context.Context) ([]hop3.PortClaim, error) // ordered by number
	// Hosts returns which app each claimed host belongs to.
	Hosts(ctx context.Context) (map[string]string, error)

	Users(ctx context.Context) ([]hop3.User, error)
	User(ctx context.Context, username string) (hop3.User, error)
	CreateUser(ctx context.Context, u hop3.User, events ...hop3.Event) error // CodeConflict
	UpdateUser(ctx context.Context, username string, change func(*hop3.User) error, events ...hop3.Event) (hop3.User, error)
	DeleteUser(ctx context.Context, username string, events ...hop3.Event) error

	Keys(ctx context.Context) ([]hop3.Key, error)
	// Key returns the key with this fingerprint.
	Key(ctx context.Context, fingerprint string) (hop3.Key, error)
	AddKey(ctx context.Context, k hop3.Key, events ...hop3.Event) error // CodeConflict when anybody has it
	RemoveKey(ctx context.Context, fingerprint string, events ...hop3.Event) error

	Roles
	APITokens
	Identities

	// RevokeToken remembers a token's id until it would have expired anyway.
	RevokeToken(ctx context.Context, id string, expires time.Time, events ...hop3.Event) error
	TokenRevoked(ctx context.Context, id string) (bool, error)
	// UseToken is RevokeToken that reports whether nobody did so before.
	UseToken(ctx context.Context, id string, expires time.Time) (first bool, err error)

	Deliveries
	EventLog
	Notices
	AddonStore
	BackupRows
	MoveRows

	Networks(ctx context.Context) ([]hop3.Network, error) // ordered by name
	// SetNetwork stores a network, in place of the one of this name.
	SetNetwork(ctx context.Context, n hop3.Network) error
	DeleteNetwork(ctx context.Context, name string) error
	// Bans returns the bans that hold at a time, ordered by app and source.
	Bans(ctx context.Context, at time.Time) ([]hop3.Ban, error)
	// SaveBan stores a ban, in place of an earlier one of the same client.
	SaveBan(ctx context.Context, b hop3.Ban) error
	// DeleteBans forgets the bans of an app, those of one source when source
	// is not "", and returns how many there were.
	DeleteBans(ctx context.Context, app, source string) (int, error)

	// NewCronRun stores a run under an ID of its own and returns it with ID
	// set; a CodeConflict error when the entry has one of the same Due.
	NewCronRun(ctx context.Context, r hop3.CronRun) (hop3.CronRun, error)
	// UpdateCronRun changes all of a run but ID, App, Entry and Due.
	UpdateCronRun(ctx context.Context, id int64, change func(*hop3.CronRun) error) (hop3.CronRun, error)
	CronRun(ctx context.Context, app string, id int64) (hop3.CronRun, error)
	// CronRuns returns the last n runs of an entry, of all entries of the app
	// when entry is "", newest first.
	CronRuns(ctx context.Context, app, entry string, n int) ([]hop3.CronRun, error)
	// EndCronRuns ends all that are said to be under way, with why as Error.
	EndCronRuns(ctx context.Context, why string) error
	// PruneCronRuns forgets the app's runs that have ended but for the newest,
	// each of every entry and total of all, and returns what it forgot.
	PruneCronRuns(ctx context.Context, app string, each, total int) ([]hop3.CronRun, error)
}

// Firewall stands in front of the apps that want it. See hop3/waf.
type Firewall interface {
	// Check returns a CodeInvalid error when a policy cannot be applied.
	Check(w hop3.WAF) error
	// SetNetworks replaces the named networks.
	SetNetworks(list []hop3.Network)
	// LoadBans replaces the bans by those that load returns. None begins
	// meanwhile.
	LoadBans(load func() ([]hop3.Ban, error)) error
	// BanSource returns the Ban.Source of a client, by its address or by that
	// itself; false when it is neither.
	BanSource(text string) (string, bool)
	// Events returns the last n requests that were refused, of all apps when
	// app is "", the oldest first.
	Events(app string, n int) ([]hop3.WAFEvent, error)
	// ForgetApp forgets an app that is no more.
	ForgetApp(app string) error
}

// Repositories are the apps' bare git repositories. See hop3/git.
type Repositories interface {
	// Ensure makes the app's repository when there is none.
	Ensure(ctx context.Context, app string) error
	// Ref returns the hash a reference points to, "" when there is none.
	Ref(ctx context.Context, app, name string) (string, error)
	// Refs returns the hash of every reference.
	Refs(ctx context.Context, app string) (map[string]string, error)
	// SetHead makes branch the one that clones check out.
	SetHead(ctx context.Context, app, branch string) error
	// Changes returns the files in which two commits differ, the first most by
	// path, and how many more there are.
	Changes(ctx context.Context, app, from, to string, most int) (changes []hop3.FileChange, more int, err error)
	// Stored returns a commit that is stored, by its full hash, or a
	// CodeNotFound error. What its checkout leaves out is told to out.
	Stored(ctx context.Context, app, commit string, out hop3.Output) (Source, error)
	// Fetch gets the newest commit of a branch of another repository, the
	// default one when branch is "", and returns both. No reference moves. See
	// hop3/git for its limits.
	Fetch(ctx context.Context, app, address, branch string, out hop3.Output) (gotBranch, commit string, err error)
	// Complete gets the history that the first Fetch left away.
	Complete(ctx context.Context, app, address, branch string) error
	// MoveRef moves a reference; a CodeConflict error when it is elsewhere.
	MoveRef(ctx context.Context, app string, move hop3.RefMove) error
	// Contains reports whether a commit is another one or an ancestor of it.
	Contains(ctx context.Context, app, ancestor, commit string) (bool, error)
	// Tidy packs what many pushes have left lying about, when it is worth it.
	Tidy(ctx context.Context, app string) error
}

// Source is source code that can be put into a directory.
type Source = hop3.Source

// Prober waits until instances answer. See hop3/ready.
type Prober interface {
	// Wait returns once every instance is ready. Otherwise it returns a
	// CodeDeploy error that says which is not and what it did instead; what
	// it logged last goes to r.Out. It does not wait for the deadline once
	// the outcome is certain.
	Wait(ctx context.Context, r hop3.Readiness) error
	// Probe asks an instance once and returns nil when its answer satisfies
	// the check, else an error that says what came instead.
	Probe(ctx context.Context, upstream, host string, check hop3.HealthCheck) error
	// Diagnose says what an instance that serves HTTP does with ports in
	// place of listening on its own; "" when it does that.
	Diagnose(i hop3.Instance) string
	// PortHolder says what holds a port of the host; "" when nothing does.
	PortHolder(port hop3.Port) (string, error)
	// LowestPort is the lowest port that an app may listen on.
	LowestPort(isolated bool) int
}

// Certificates keeps the certificates of the apps' hosts. See hop3/certs.
type Certificates interface {
	// Certificate tells what is known of a host's certificate.
	Certificate(ctx context.Context, host string) hop3.Certificate
	// Obtain gets a certificate for a host, or another one when renew says so,
	// and waits for it. The error says what the authority said.
	Obtain(ctx context.Context, host string, renew bool) error
	// Want begins to get certificates for those of the hosts that have none.
	Want(ctx context.Context, hosts ...string)
	// AddCustom has an app use a certificate that its user brings, for those of
	// its hosts that it is good for. A certificate that is of no use is a
	// CodeInvalid error.
	AddCustom(app string, hosts []string, chain, key []byte) (hop3.Certificate, error)
	// RemoveCustom takes those away that are good for host: CodeNotFound when
	// there are none.
	RemoveCustom(app, host string) error
	// ForgetApp removes all that users of an app brought.
	ForgetApp(app string) error
	// PEM returns the certificate of a host and its private key.
	PEM(ctx context.Context, host string) (chain, key []byte, err error)
	// Import has a host use a certificate of a public authority that another
	// server got, as if it had been got here.
	Import(ctx context.Context, host string, chain, key []byte) error
	// Addresses returns where a host points to, and the machine's own
	// addresses.
	Addresses(ctx context.Context, host string) (points, own []string, err error)
}

// Authenticator makes and checks what proves an identity. See hop3/auth.
type Authenticator interface {
	HashPassword(password string) (string, error)
	VerifyPassword(hash, password string) bool
	// IssueToken returns a JWT for the user.
	IssueToken(u hop3.User) (string, error)
	// IssueNamed returns a token that is good as long as somebody remembers
	// its ID, and what it says.
	IssueNamed(u hop3.User, scope hop3.Scope, lifetime time.Duration) (text string, t Token, err error)
	// ParseToken returns what a token says; its signature and time are
	// checked, its revocation is not.
	ParseToken(token string) (Token, error)
	// ParseKey reads one authorized_keys line.
	ParseKey(line string) (hop3.Key, error)
	// Allow says whether one more login attempt by this source may be made.
	Allow(source string) bool
	// AllowAccount says the same of attempts on an account, wherever they come
	// from, and whether there is such an account or not.
	AllowAccount(username string) bool
	// IssueMagic returns a text that proves, to ParseMagic alone and for 5
	// minutes, that its bearer is the user.
	IssueMagic(u hop3.User) (string, error)
	ParseMagic(text string) (Token, error)
	// SealAttempt returns a text that OpenAttempt alone takes, until the
	// attempt's time is over.
	SealAttempt(attempt hop3.SignOnAttempt) (string, error)
	OpenAttempt(text string) (hop3.SignOnAttempt, error)
	SecondFactors
}

// Token is what a token says.
type Token = hop3.Token

// Files is the disk under the home, for what the verbs must do there and
// nowhere else.
type Files interface {
	// MakeDir makes a directory and its parents.
	MakeDir(path string) error
	// Rename moves a file or directory on the same disk.
	Rename(from, to string) error
	// Remove deletes a tree; it is no error when there is none.
	Remove(path string) error
	// List returns the names in a directory; none when there is none.
	List(path string) ([]string, error)
	// ListIn returns the names in the directory name of dir; none when there
	// is no such directory. No symbolic link leads out of dir.
	ListIn(dir, name string) ([]string, error)
	// RemoveIn deletes the file or tree name of dir after it has moved it to
	// grave, another name in dir. No symbolic link leads out of dir; it is no
	// error when there is none.
	RemoveIn(dir, name, grave string) error
	// Link makes link a symbolic link to target, replacing an older link
	// atomically.
	Link(target, link string) error
	// Create makes a new file below dir, with the directories on the way to
	// it, and opens it for writing. No symbolic link leads out of dir.
	Create(dir, name string) (io.WriteCloser, error)
	// Volume makes a volume below volumes when there is none, of what source
	// has at its target, and puts a link to it there in source. Of one that is
	// mounted it makes only the directory there. A target that is neither
	// missing nor a directory is an error.
	Volume(volumes, source string, v hop3.Volume) error
	// Open gives a directory for reading; its symbolic links cannot lead out.
	Open(dir string) (fs.FS, error)
	// Free returns the bytes and the inodes left on the disk of path.
	Free(path string) (bytes, inodes uint64, err error)
	// Logs gives the lines of the logs in dir that the query chooses to entry,
	// in the order of time. See hop3/logfile.
	Logs(ctx context.Context, dir string, q hop3.LogQuery, entry func(hop3.LogEntry) error) error
}
