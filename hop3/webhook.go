package hop3

import "time"

// Webhook is an address at which a git host says that something was pushed.
type Webhook struct {
	ID        string // the part of the address that nobody guesses
	Secret    string // what the host signs with
	CreatedAt time.Time
}

// WebhookEvent is what a git host says, once its signature was checked.
type WebhookEvent struct {
	Host     string // "github", "gitlab" or "gitea"
	Delivery string // the host's id of this message, "" when it gives none
	Digest   string // of the message: the same again is the same message
	Kind     string // "push", or what else it tells of
	Ref      string // refs/heads/main; for a push
	Commit   string // that the reference points to now; all zeros when it was deleted
}

// WebhookDelivery is a message of a git host and what became of it.
type WebhookDelivery struct {
	App string
	ID  int64
	WebhookEvent
	Received time.Time
	Status   DeliveryStatus
	Note     string // why it was ignored or failed; the release that came of it
}

// DeliveryStatus is what became of a message.
type DeliveryStatus string

// The statuses of a delivery.
const (
	DeliveryPending  DeliveryStatus = "pending"  // being deployed
	DeliveryDeployed DeliveryStatus = "deployed" // its commit, or a newer one, serves
	DeliveryIgnored  DeliveryStatus = "ignored"  // nothing was to be done
	DeliveryFailed   DeliveryStatus = "failed"
)
