package hop3

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// NotifyTarget is where notices of events are sent, and of which.
type NotifyTarget struct {
	Name string
	Kind string // a Notify… constant
	// Address is a URL, which may be a secret, or an e-mail address.
	Address string
	// Secret signs the messages of a webhook, or is the token of ntfy.
	Secret   string
	App      string      // only its events; "" for those of the whole server
	Kinds    []EventKind // kinds or groups; none means all
	Severity Severity    // at least
	User     string      // who made it
	Status   NotifyStatus
}

// NotifyStatus is how a target takes its notices.
type NotifyStatus struct {
	Failures     int // in a row
	FailingSince time.Time
	LastError    string
	LastSent     time.Time
	Dropped      int // notices that were given up
	Waiting      int // notices that are to be sent
}

// The kinds of target.
const (
	NotifyWebhook = "webhook" // JSON, signed
	NotifySlack   = "slack"   // an incoming webhook of Slack, or what understands the same
	NotifyNtfy    = "ntfy"    // a topic of ntfy
	NotifyEmail   = "email"
)

var notifyKinds = []string{NotifyWebhook, NotifySlack, NotifyNtfy, NotifyEmail}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Validate reports what is wrong with a target.
func (t NotifyTarget) Validate() error {
	switch {
	case !targetName.MatchString(t.Name):
		return Errorf(CodeInvalid, "%.60q cannot be a target's name", t.Name).WithHint("Use up to 40 of a-z, 0-9 and -.")
	case !slices.Contains(notifyKinds, t.Kind):
		return Errorf(CodeInvalid, "%.40q is no kind of target", t.Kind).WithHint("They are: %s.", strings.Join(notifyKinds, ", "))
	case strings.ContainsFunc(t.Secret, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return Errorf(CodeInvalid, "the secret may have no spaces and no characters outside ASCII")
	case t.Kind == NotifyEmail:
		a, err := mail.ParseAddress(t.Address)
		if err != nil || a.Address != t.Address || strings.ContainsAny(t.Address, "\r\n<>") {
			return Errorf(CodeInvalid, "%.80q is not an e-mail address", t.Address)
		}
		return nil
	}
	u, err := url.Parse(t.Address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(t.Address) > 2000 {
		return Errorf(CodeInvalid, "the address of a target of kind %s is a URL that begins with https:// or http://", t.Kind)
	}
	return nil
}

// Wants reports whether events like this one are sent to the target. What is
// said of the target itself is not.
func (t NotifyTarget) Wants(e Event) bool {
	if t.App != "" && e.App != t.App || e.Kind.Severity() < t.Severity || e.Kind.Group() == "notify" && e.Data["target"] == t.Name {
		return false
	}
	return len(t.Kinds) == 0 || slices.ContainsFunc(t.Kinds, e.Kind.Is)
}

// Shown is the address without what may be secret in it.
func (t NotifyTarget) Shown() string {
	if t.Kind == NotifyEmail {
		return t.Address
	}
	u, err := url.Parse(t.Address)
	if err != nil {
		return "***"
	}
	return u.Scheme + "://" + u.Host + "/***"
}

// Notice is an event, or several alike of which it is the last, to be sent to a
// target.
type Notice struct {
	ID       int64 // the same at each attempt
	Target   string
	Merge    string // notices that wait and have the same, not "", become one
	Event    Event
	Count    int       // how many events it stands for
	First    time.Time // of the first of them
	Attempts int
	Next     time.Time // not before
}
