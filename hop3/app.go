package hop3

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// App is what is pushed and named.
type App struct {
	Name string
	// State is the state users see. What really runs is the Runtime's to say;
	// reconcile brings the two together.
	State State
	// Error says why State is StateFailed; empty otherwise.
	Error string
	// DeployBranch is the branch whose pushes deploy; empty until the first
	// main or master arrives.
	DeployBranch string
	// Live is the number of the release that serves, 0 before the first.
	Live int
	// Env holds the variables set by users. A release freezes its own copy.
	Env Env
	// Scale is the wanted number of instances of each process type that is
	// not at its default of 1.
	Scale map[string]int
	// Admin and Probe are the accounts that the server made up for the app;
	// nil when it never had one.
	Admin, Probe *Account
	// HTTP holds the settings of the app's HTTP policy made by command. A
	// release freezes its own copy.
	HTTP HTTPSettings
	// Maintenance closes the app to visitors, whichever release is live; nil
	// when it is open.
	Maintenance *Maintenance
	// Asleep says that a running app has no instances because nobody asked
	// for it: the next request starts them.
	Asleep bool
	// Source is the address of the repository that the app is fetched from, ""
	// when it is only pushed and uploaded. It may contain a password.
	Source string
	// Webhook lets the host of that repository say that there is something to
	// fetch; nil for none.
	Webhook *Webhook
	// Previews says that every push of another branch is served as a preview,
	// not only those that ask for it.
	Previews bool
	// PreviewEnv holds the variables that are set in the app's previews only,
	// over Env.
	PreviewEnv Env
	// Preview says of which branch of which app this is a preview; nil when it
	// is an app of its own.
	Preview *Preview
	// Team is whose the app is. It changes by Store.TransferApp only.
	Team      string
	CreatedBy string // username
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Clone returns a copy that shares nothing with the app.
func (a App) Clone() App {
	a.Env, a.Scale, a.PreviewEnv, a.HTTP = maps.Clone(a.Env), maps.Clone(a.Scale), maps.Clone(a.PreviewEnv), maps.Clone(a.HTTP)
	a.Admin, a.Probe = copied(a.Admin), copied(a.Probe)
	a.Webhook, a.Preview = copied(a.Webhook), copied(a.Preview)
	if a.Maintenance = copied(a.Maintenance); a.Maintenance != nil {
		a.Maintenance.Allow = slices.Clone(a.Maintenance.Allow)
	}
	return a
}

// copied returns a pointer to a copy of what p points to, nil for nil.
func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// State is an app's state. The numbers are those of Hop3 (Python)'s database.
type State int

// The states of an app.
const (
	StateStopped  State = 1
	StateStarting State = 2
	StateRunning  State = 3
	StateStopping State = 4
	StateFailed   State = 5
)

// String returns the name clients know: STOPPED, STARTING, RUNNING, STOPPING
// or FAILED.
func (s State) String() string {
	switch s {
	case StateStopped:
		return "STOPPED"
	case StateStarting:
		return "STARTING"
	case StateRunning:
		return "RUNNING"
	case StateStopping:
		return "STOPPING"
	default:
		return "FAILED"
	}
}

var appName = pattern(`^[A-Za-z0-9][A-Za-z0-9_-]{1,61}[A-Za-z0-9]$`)

// ValidateAppName reports a CodeInvalid error unless name can be an app's: 3
// to 63 ASCII letters, digits, '-' and '_', with a letter or digit at both
// ends.
func ValidateAppName(name string) error {
	if appName().MatchString(name) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be an app's name", shorten(name, 80)).
		WithHint("A name has 3 to 63 letters, digits, '-' or '_', and begins and ends with a letter or digit.")
}

// HostLabel returns the DNS label of an app under the base domain: the name in
// lower case with '_' turned into '-'. Two apps may not share one.
func HostLabel(app string) string {
	return strings.ReplaceAll(strings.ToLower(app), "_", "-")
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
