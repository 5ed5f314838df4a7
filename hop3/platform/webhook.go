package platform

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Deliveries is the part of the store that remembers what git hosts said.
type Deliveries interface {
	// NewDelivery stores a delivery and returns it with ID and Received set;
	// a CodeConflict error when the same message came before and did not fail.
	NewDelivery(ctx context.Context, d hop3.WebhookDelivery) (hop3.WebhookDelivery, error)
	SettleDelivery(ctx context.Context, id int64, status hop3.DeliveryStatus, note string) error
	Deliveries(ctx context.Context, app string, n int) ([]hop3.WebhookDelivery, error) // newest first
	PendingDeliveries(ctx context.Context) ([]hop3.WebhookDelivery, error)             // oldest first
}

// SetWebhook gives the app a webhook with a secret of its own. With replace the
// secret of the one it has is replaced, and its address stays; without, having
// one is a CodeConflict error.
func (p *Platform) SetWebhook(ctx context.Context, who Actor, app string, replace bool) (hop3.Webhook, error) {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return hop3.Webhook{}, err
	}
	next := hop3.Webhook{ID: rand.Text(), Secret: rand.Text() + rand.Text(), CreatedAt: p.now().UTC().Truncate(time.Second)}
	_, err := p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		switch {
		case a.Preview != nil:
			return isPreview(*a)
		case a.Source == "":
			return noSource(app)
		case a.Webhook != nil && !replace:
			return hop3.Errorf(hop3.CodeConflict, "App '%s' has a webhook.", app).
				WithHint("`hop3 webhook rotate --app %s` gives it another secret.", app)
		case a.Webhook == nil && replace:
			return noWebhook(app)
		case replace:
			next.ID = a.Webhook.ID
		}
		a.Webhook = &next
		return nil
	}, event(ctx, hop3.EventWebhookChanged, app, "the webhook of '%s' %s", app, map[bool]string{true: "got another secret", false: "was made"}[replace]))
	return next, err
}

// RemoveWebhook ends the app's webhook.
func (p *Platform) RemoveWebhook(ctx context.Context, who Actor, app string) error {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return err
	}
	_, err := p.Store.UpdateApp(ctx, app, func(a *hop3.App) error {
		if a.Webhook == nil {
			return noWebhook(app)
		}
		a.Webhook = nil
		return nil
	}, event(ctx, hop3.EventWebhookChanged, app, "the webhook of '%s' was removed", app))
	return err
}

func noWebhook(app string) error {
	return hop3.Errorf(hop3.CodeNotFound, "App '%s' has no webhook.", app).WithHint("`hop3 webhook create --app %s` makes one.", app)
}

// WebhookURL is where a git host sends its messages.
func (p *Platform) WebhookURL(app string, w hop3.Webhook) string {
	return p.url(p.Settings.ControlHost) + "/hooks/" + app + "/" + w.ID
}

// Webhook returns the webhook of an app whose address has this id, and counts
// the request. It returns a CodeNotFound error when there is none, in the same
// words whatever is missing, and a CodeUnavailable error when too many come.
func (p *Platform) Webhook(ctx context.Context, app, id string) (hop3.Webhook, error) {
	none := hop3.Errorf(hop3.CodeNotFound, "there is no such webhook")
	if hop3.ValidateAppName(app) != nil {
		return hop3.Webhook{}, none
	}
	a, err := p.Store.App(ctx, app)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return hop3.Webhook{}, err
	}
	if err != nil || a.Webhook == nil || subtle.ConstantTimeCompare([]byte(a.Webhook.ID), []byte(id)) != 1 {
		return hop3.Webhook{}, none
	}
	if !p.webhooks.allow(app, p.now()) {
		return hop3.Webhook{}, hop3.Errorf(hop3.CodeUnavailable, "too many messages for '%s'", app)
	}
	return *a.Webhook, nil
}

// rate bounds the messages to each webhook.
type rate struct {
	mu     sync.Mutex
	window time.Time      // when the current one began
	count  map[string]int // in it, by app
}

const (
	rateWindow = time.Minute
	rateMost   = 60
)

func (r *rate) allow(app string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil || now.Sub(r.window) >= rateWindow {
		r.window, r.count = now, map[string]int{}
	}
	r.count[app]++
	return r.count[app] <= rateMost
}

// Deliver takes a message whose signature was checked, and returns at once what
// becomes of it. A push of the deploy branch is deployed in the background: not
// what the message says but what the app's own source has, which must contain
// the commit it names. A newer message takes the place of one that waits. It
// returns a CodeConflict error for a message that was taken before.
func (p *Platform) Deliver(ctx context.Context, app string, e hop3.WebhookEvent) (hop3.WebhookDelivery, error) {
	a, err := p.Store.App(ctx, app)
	if err != nil {
		return hop3.WebhookDelivery{}, err
	}
	d := hop3.WebhookDelivery{App: app, WebhookEvent: e, Status: hop3.DeliveryPending}
	if why := ignored(a, e); why != "" {
		d.Status, d.Note = hop3.DeliveryIgnored, why
	}
	if d, err = p.Store.NewDelivery(ctx, d); err != nil || d.Status != hop3.DeliveryPending {
		return d, err
	}
	p.happened(event(ctx, hop3.EventWebhookReceived, app, "a push of %s, %.8s, by %s", strings.TrimPrefix(d.Ref, heads), d.Commit, d.Host))
	return d, p.beginDelivery(askedBy(ctx), d)
}

// RefusedDelivery notes a message that was not taken, because its signature is
// wrong, say.
func (p *Platform) RefusedDelivery(ctx context.Context, app string, why error) {
	p.noteBurst(event(ctx, hop3.EventWebhookRefused, app, "a message was refused: %s", hop3.MessageOf(why)), app)
}

// ignored says why a message is of no consequence, "" when it is.
func ignored(app hop3.App, e hop3.WebhookEvent) string {
	branch, isBranch := strings.CutPrefix(e.Ref, heads)
	deploys := app.DeployBranch == branch || app.DeployBranch == "" && (branch == "main" || branch == "master")
	move := hop3.RefMove{New: e.Commit}
	switch {
	case e.Kind != "push":
		return fmt.Sprintf("only pushes deploy, and this is of kind %.40q", e.Kind)
	case !isBranch:
		return fmt.Sprintf("%.80s is not a branch", e.Ref)
	case !deploys:
		return fmt.Sprintf("'%s' does not deploy from the branch '%.80s'", app.Name, branch)
	case move.Delete():
		return "the branch was deleted"
	case app.Source == "":
		return fmt.Sprintf("'%s' has no source to fetch from", app.Name)
	}
	return ""
}

func (p *Platform) beginDelivery(by Actor, d hop3.WebhookDelivery) error {
	if p.Go("webhook "+d.App, func(ctx context.Context) { p.deliver(ctx, by, d) }) {
		return nil
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the server is shutting down") // the next start takes it up
}

// deliver deploys what a message tells of and remembers how that went.
func (p *Platform) deliver(ctx context.Context, by Actor, d hop3.WebhookDelivery) {
	who := Actor{Username: "webhook", app: d.App, Source: by.Source}
	ctx = As(ctx, who)
	r, err := p.DeploySource(ctx, who, SourceRequest{App: d.App, Commit: d.Commit, IfNew: true, Out: hop3.Discard})
	if ctx.Err() != nil {
		return // the server ends; the next start takes it up
	}
	status, note := hop3.DeliveryDeployed, fmt.Sprintf("v%d", r.Number)
	switch {
	case errors.Is(err, errNothingNew):
		note = hop3.MessageOf(err)
	case hop3.CodeOf(err) == hop3.CodeCanceled:
		status, note = hop3.DeliveryIgnored, hop3.MessageOf(err)
	case err != nil:
		status, note = hop3.DeliveryFailed, hop3.MessageOf(err)
		p.Logger.Warn("a webhook's deploy failed", zap.String("app", d.App), zap.Error(err))
	}
	if err := p.Store.SettleDelivery(context.WithoutCancel(ctx), d.ID, status, note); err != nil {
		p.Logger.Error("settling a webhook", zap.String("app", d.App), zap.Error(err))
	}
}

// resumeDeliveries takes up what the last server's end interrupted.
func (p *Platform) resumeDeliveries(ctx context.Context) {
	pending, err := p.Store.PendingDeliveries(ctx)
	if err != nil {
		p.Logger.Error("reading the webhooks under way", zap.Error(err))
	}
	for _, d := range pending {
		_ = p.beginDelivery(Actor{}, d) // or the server ends again
	}
}

// Deliveries returns the last n messages to the app, newest first.
func (p *Platform) Deliveries(ctx context.Context, who Actor, app string, n int) ([]hop3.WebhookDelivery, error) {
	if err := p.may(ctx, who, app, hop3.RoleViewer); err != nil {
		return nil, err
	}
	return p.Store.Deliveries(ctx, app, n)
}
