package hop3

import (
	"slices"
	"strings"
	"time"
)

// Event is something that happened, for who wants to know who did what, and
// for what reacts to it. An event of a change is stored with the change: there
// is not one without the other. Events are never altered; the oldest are
// forgotten after a time.
type Event struct {
	ID   int64 // from 1, in the order they happened; set when it is stored
	Time time.Time
	Kind EventKind
	// Actor is the user who asked for it, "host" for who administers the
	// machine, "webhook" for a git host's message, "" for the server itself.
	Actor string
	// Source is the address they came from: an IP address, "local" for the
	// machine's own socket, "" for the server itself.
	Source  string
	App     string // "" when it is of none
	Release int    // of the app; 0 when it is of none
	Message string // one line
	// Changes are what is different now. Of variables, and of what else may be
	// secret, they have no values.
	Changes []Difference
	// Data is what of the message a program may want to read.
	Data map[string]string
}

// EventKind says what happened: a noun and what became of it.
type EventKind string

// The kinds of event.
const (
	EventDeployStarted   EventKind = "deploy.started"
	EventDeploySucceeded EventKind = "deploy.succeeded"
	EventDeployFailed    EventKind = "deploy.failed"
	EventDeployCanceled  EventKind = "deploy.canceled"

	EventReleaseSwitched EventKind = "release.switched" // another release serves
	EventReleaseReady    EventKind = "release.ready"    // kept for `releases switch`
	EventReleaseReverted EventKind = "release.reverted" // one that served was taken back

	EventAppCreated   EventKind = "app.created"
	EventAppDestroyed EventKind = "app.destroyed"
	EventAppStarted   EventKind = "app.started"
	EventAppStopped   EventKind = "app.stopped"
	EventAppRestarted EventKind = "app.restarted"
	EventAppFailed    EventKind = "app.failed"
	EventAppCrashed   EventKind = "app.crashed"  // an instance ended by itself
	EventAppOOM       EventKind = "app.oom"      // an instance was killed for its memory
	EventAppRan       EventKind = "app.ran"      // somebody ran a program in it
	EventAppRevealed  EventKind = "app.revealed" // a secret was shown in full

	EventHealthFailed    EventKind = "health.failed"
	EventHealthRecovered EventKind = "health.recovered"

	EventConfigChanged EventKind = "config.changed"

	EventCertificateIssued   EventKind = "certificate.issued"
	EventCertificateFailed   EventKind = "certificate.failed"
	EventCertificateExpiring EventKind = "certificate.expiring"
	EventCertificateAdded    EventKind = "certificate.added"
	EventCertificateAsked    EventKind = "certificate.asked"
	EventCertificateRemoved  EventKind = "certificate.removed"

	EventLoginSucceeded EventKind = "login.succeeded"
	EventLoginFailed    EventKind = "login.failed"
	EventLogout         EventKind = "login.ended"

	EventUserAdded     EventKind = "user.added"
	EventUserRemoved   EventKind = "user.removed"
	EventUserChanged   EventKind = "user.changed" // rights, password, enabled or not
	EventKeyAdded      EventKind = "key.added"
	EventKeyRemoved    EventKind = "key.removed"
	EventTokenIssued   EventKind = "token.issued"
	EventTokenRevoked  EventKind = "token.revoked"
	EventRightsChanged EventKind = "rights.changed" // of teams, and on apps

	EventWebhookChanged  EventKind = "webhook.changed"
	EventWebhookReceived EventKind = "webhook.received"
	EventWebhookRefused  EventKind = "webhook.refused"

	EventAddonCreated   EventKind = "addon.created"
	EventAddonDestroyed EventKind = "addon.destroyed"
	EventAddonFailed    EventKind = "addon.failed"
	EventAddonAttached  EventKind = "addon.attached"
	EventAddonDetached  EventKind = "addon.detached"
	EventAddonRotated   EventKind = "addon.rotated"
	EventAddonChanged   EventKind = "addon.changed" // its data, or who can reach it
	EventAddonRevealed  EventKind = "addon.revealed"

	EventCanaryEnded EventKind = "canary.ended"
	EventCronRun     EventKind = "cron.run" // by hand
	EventCronFailed  EventKind = "cron.failed"

	EventMoveAllowed EventKind = "move.allowed" // another server may move an app here
	EventMoveStarted EventKind = "move.started"
	EventMoveFailed  EventKind = "move.failed"
	EventMoveDone    EventKind = "move.done"
	EventMoveNames   EventKind = "move.names" // the names of an app that went point elsewhere

	EventBackupCreated   EventKind = "backup.created"
	EventBackupFailed    EventKind = "backup.failed"
	EventBackupVerified  EventKind = "backup.verified"
	EventBackupUnproven  EventKind = "backup.unproven" // a proof failed
	EventBackupRestored  EventKind = "backup.restored"
	EventBackupDestroyed EventKind = "backup.destroyed"
	EventBackupOverdue   EventKind = "backup.overdue" // the newest proven one is too old

	EventNotifyAdded    EventKind = "notify.added"
	EventNotifyRemoved  EventKind = "notify.removed"
	EventNotifyTested   EventKind = "notify.tested"
	EventNotifyFailing  EventKind = "notify.failing"  // notices of a target do not arrive
	EventNotifyRestored EventKind = "notify.restored" // they do again

	EventServerStarted EventKind = "server.started"
	EventServerChanged EventKind = "server.changed" // settings of the server
	EventDiskLow       EventKind = "disk.low"
	EventDiskRecovered EventKind = "disk.recovered"
)

// Severity says how much an event matters to who runs the server.
type Severity int

// The severities, in order.
const (
	SeverityInfo    Severity = iota
	SeverityWarning          // somebody should look at it
	SeverityError            // something does not work
)

var severityNames = []string{"info", "warning", "error"}

// String returns "info", "warning" or "error".
func (s Severity) String() string { return severityNames[s] }

// ParseSeverity reads the name of a severity. The error lists them.
func ParseSeverity(text string) (Severity, error) {
	if i := slices.Index(severityNames, text); i >= 0 {
		return Severity(i), nil
	}
	return 0, Errorf(CodeInvalid, "%.40q is no severity", text).WithHint("They are: %s.", strings.Join(severityNames, ", "))
}

// eventKinds are all kinds, with how much each matters and what it means.
var eventKinds = []EventKindInfo{
	{EventDeployStarted, SeverityInfo, "a build began"},
	{EventDeploySucceeded, SeverityInfo, "what was deployed serves"},
	{EventDeployFailed, SeverityError, "a build, a start or a health check failed; what served before serves on"},
	{EventDeployCanceled, SeverityInfo, "a deploy was canceled, or a newer one took its place"},
	{EventReleaseSwitched, SeverityInfo, "another release serves; the changes say what differs"},
	{EventReleaseReady, SeverityInfo, "a release was built and tried, and waits for `releases switch`"},
	{EventReleaseReverted, SeverityError, "a release that served was taken back"},
	{EventAppCreated, SeverityInfo, "an app was made"},
	{EventAppDestroyed, SeverityWarning, "an app was destroyed"},
	{EventAppStarted, SeverityInfo, "a stopped app was started"},
	{EventAppStopped, SeverityInfo, "an app was stopped"},
	{EventAppRestarted, SeverityInfo, "an app was restarted"},
	{EventAppFailed, SeverityError, "an app could not be started"},
	{EventAppCrashed, SeverityError, "an instance ended by itself and is started again"},
	{EventAppOOM, SeverityError, "an instance was killed because it took too much memory"},
	{EventAppRan, SeverityInfo, "somebody ran a program, or a shell, in an app"},
	{EventAppRevealed, SeverityInfo, "somebody was shown a secret"},
	{EventHealthFailed, SeverityError, "an instance failed its health check and is restarted"},
	{EventHealthRecovered, SeverityInfo, "an instance passes its health check again"},
	{EventConfigChanged, SeverityInfo, "variables, counts, domains or other settings of an app were changed"},
	{EventCertificateIssued, SeverityInfo, "a certificate was obtained or renewed"},
	{EventCertificateFailed, SeverityError, "a certificate could not be obtained"},
	{EventCertificateExpiring, SeverityError, "a certificate ends soon"},
	{EventCertificateAdded, SeverityInfo, "a certificate of one's own was added"},
	{EventCertificateAsked, SeverityInfo, "somebody asked for certificates, or to renew them"},
	{EventCertificateRemoved, SeverityInfo, "one was removed"},
	{EventLoginSucceeded, SeverityInfo, "a password was right"},
	{EventLoginFailed, SeverityWarning, "a password was wrong; many are counted in one event"},
	{EventLogout, SeverityInfo, "a token was revoked by its owner"},
	{EventUserAdded, SeverityInfo, "an account was made"},
	{EventUserRemoved, SeverityInfo, "an account was deleted"},
	{EventUserChanged, SeverityInfo, "an account's password, rights or state were changed"},
	{EventKeyAdded, SeverityInfo, "an SSH key was added"},
	{EventKeyRemoved, SeverityInfo, "an SSH key was removed"},
	{EventTokenIssued, SeverityInfo, "an administrator made a token for a user"},
	{EventTokenRevoked, SeverityInfo, "a named token was ended"},
	{EventRightsChanged, SeverityWarning, "a team, or who may do what with apps, changed"},
	{EventWebhookChanged, SeverityInfo, "an app's webhook was made, removed, or got another secret"},
	{EventWebhookReceived, SeverityInfo, "a git host's message begins a deploy"},
	{EventWebhookRefused, SeverityWarning, "a message's signature was wrong; many are counted in one event"},
	{EventAddonCreated, SeverityInfo, "an addon was made"},
	{EventAddonDestroyed, SeverityWarning, "an addon was destroyed, with its data"},
	{EventAddonFailed, SeverityError, "an addon could not be made, removed or rotated"},
	{EventAddonAttached, SeverityInfo, "an addon was attached to an app"},
	{EventAddonDetached, SeverityInfo, "an addon was detached from an app"},
	{EventAddonRotated, SeverityInfo, "an addon and its apps have other credentials"},
	{EventAddonChanged, SeverityWarning, "data of an addon were restored, imported or flushed, or who can reach it changed"},
	{EventAddonRevealed, SeverityInfo, "somebody was shown the credentials or data of an addon"},
	{EventCanaryEnded, SeverityInfo, "a release that was tried out was promoted or aborted by hand"},
	{EventCronRun, SeverityInfo, "a cron entry was run by hand"},
	{EventCronFailed, SeverityError, "a cron entry failed"},
	{EventMoveAllowed, SeverityInfo, "an app of another server may come to this one"},
	{EventMoveStarted, SeverityInfo, "an app begins to move to another server, and serves meanwhile"},
	{EventMoveFailed, SeverityError, "an app did not move, and is where it was"},
	{EventMoveDone, SeverityWarning, "an app has moved: it runs on the other server now"},
	{EventMoveNames, SeverityInfo, "the names of an app that went point to another machine: what is left of it here can be destroyed"},
	{EventBackupCreated, SeverityInfo, "a backup was made, or one from elsewhere registered"},
	{EventBackupFailed, SeverityError, "a backup could not be made, or not be stored off the server, or not be restored"},
	{EventBackupVerified, SeverityInfo, "a backup was restored into a scratch place, and holds what was saved"},
	{EventBackupUnproven, SeverityError, "a backup does not hold what was saved, or could not be tried"},
	{EventBackupRestored, SeverityWarning, "an app was replaced by a backup, or made of one"},
	{EventBackupDestroyed, SeverityInfo, "a backup was destroyed, or gave way to newer ones"},
	{EventBackupOverdue, SeverityError, "the newest backup that was proven is older than it may be"},
	{EventNotifyAdded, SeverityInfo, "a target of notices was added"},
	{EventNotifyRemoved, SeverityInfo, "one was removed"},
	{EventNotifyTested, SeverityInfo, "somebody sent a test notice"},
	{EventNotifyFailing, SeverityError, "notices do not reach their target"},
	{EventNotifyRestored, SeverityInfo, "they do again"},
	{EventServerStarted, SeverityInfo, "the server started"},
	{EventServerChanged, SeverityInfo, "a setting of the server was changed"},
	{EventDiskLow, SeverityError, "the disk is almost full: deploys are refused"},
	{EventDiskRecovered, SeverityInfo, "it has room again"},
}

// EventKindInfo describes a kind of event.
type EventKindInfo struct {
	Kind     EventKind
	Severity Severity
	Meaning  string
}

// EventKinds returns all kinds of event.
func EventKinds() []EventKindInfo { return slices.Clone(eventKinds) }

// Severity returns how much events of this kind matter.
func (k EventKind) Severity() Severity {
	for _, i := range eventKinds {
		if i.Kind == k {
			return i.Severity
		}
	}
	return SeverityInfo
}

// Group returns the noun of the kind: "deploy".
func (k EventKind) Group() string {
	noun, _, _ := strings.Cut(string(k), ".")
	return noun
}

// ParseEventKind checks that text is a kind, or a group of them: "deploy" means
// all that begin with "deploy.".
func ParseEventKind(text string) (EventKind, error) {
	var groups []string
	for _, i := range eventKinds {
		if text == string(i.Kind) || text == i.Kind.Group() {
			return EventKind(text), nil
		}
		if g := i.Kind.Group(); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return "", Errorf(CodeInvalid, "%.60q is no kind of event", text).
		WithHint("They begin with %s; `hop3 events kinds` lists them.", strings.Join(groups, ", "))
}

// Is reports whether the kind is kind, or in the group of this name.
func (k EventKind) Is(kind EventKind) bool { return k == kind || k.Group() == string(kind) }

// EventQuery chooses events. The zero value means all.
type EventQuery struct {
	App    string
	Kind   EventKind // a kind, or a group
	Since  time.Time
	After  int64 // only those with a larger ID, the oldest first
	Before int64 // only those with a smaller ID; 0 means no bound
	Limit  int   // the last ones, or with After the first; 0 means a thousand
}

// EventChain says of what the events are that are stored: each carries a hash
// over itself and the one before.
type EventChain struct {
	First, Last int64 // IDs; 0 when there are none
	Hash        string
}
