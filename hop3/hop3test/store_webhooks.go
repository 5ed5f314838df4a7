package hop3test

import (
	"context"
	"fmt"
	"time"

	"github.com/abilian/hop3/hop3"
)

// WebhookDatabase is the part of a store that remembers what git hosts said.
type WebhookDatabase interface {
	NewDelivery(ctx context.Context, d hop3.WebhookDelivery) (hop3.WebhookDelivery, error)
	SettleDelivery(ctx context.Context, id int64, status hop3.DeliveryStatus, note string) error
	Deliveries(ctx context.Context, app string, n int) ([]hop3.WebhookDelivery, error)
	PendingDeliveries(ctx context.Context) ([]hop3.WebhookDelivery, error)
}

func (s *storeStory) deliveries() {
	s.app("blog")
	s.app("shop")
	message := func(app, delivery, digest string) hop3.WebhookDelivery {
		return hop3.WebhookDelivery{
			App: app, Status: hop3.DeliveryPending, Note: "n\x00te",
			WebhookEvent: hop3.WebhookEvent{Host: "github", Delivery: delivery, Digest: digest, Kind: "push", Ref: "refs/heads/main", Commit: "c"},
		}
	}
	first, err := s.db.NewDelivery(s.ctx, message("blog", "d1", "s1"))
	s.ok(err)
	if first.ID == 0 || time.Since(first.Received).Abs() > time.Minute {
		s.Errorf("stored as %+v", first)
	}
	got, err := s.connect().Deliveries(s.ctx, "blog", 10)
	s.ok(err)
	first.Note = "n\uFFFDte"
	s.same(got, []hop3.WebhookDelivery{first})

	// The same again, by either sign, unless it failed; another app's is another.
	for _, again := range []hop3.WebhookDelivery{message("blog", "d1", "s2"), message("blog", "d2", "s1")} {
		_, err := s.db.NewDelivery(s.ctx, again)
		s.fails(err, hop3.CodeConflict, "this message was delivered before")
	}
	_, err = s.db.NewDelivery(s.ctx, message("shop", "d1", "s1"))
	s.ok(err)
	pending, err := s.db.PendingDeliveries(s.ctx)
	s.ok(err)
	if len(pending) != 2 || pending[0].App != "blog" {
		s.Errorf("%+v are pending", pending)
	}
	s.ok(s.db.SettleDelivery(s.ctx, first.ID, hop3.DeliveryFailed, "why"))
	second, err := s.db.NewDelivery(s.ctx, message("blog", "d1", "s1"))
	s.ok(err)
	s.ok(s.db.SettleDelivery(s.ctx, second.ID, hop3.DeliveryDeployed, "v2"))
	_, err = s.db.NewDelivery(s.ctx, message("blog", "d1", "s1"))
	s.fails(err, hop3.CodeConflict, "this message was delivered before")

	// Only the last ones are remembered, newest first.
	for n := range 120 {
		d, err := s.db.NewDelivery(s.ctx, message("blog", "", fmt.Sprint("n", n)))
		s.ok(err)
		s.ok(s.db.SettleDelivery(s.ctx, d.ID, hop3.DeliveryIgnored, ""))
	}
	got, err = s.db.Deliveries(s.ctx, "blog", 1000)
	s.ok(err)
	if len(got) != 100 || got[0].Digest != "n119" {
		s.Errorf("%d are remembered, the newest is %+v", len(got), got[0])
	}
	s.ok(s.db.DeleteApp(s.ctx, "blog"))
	_, err = s.db.Deliveries(s.ctx, "blog", 1)
	s.fails(err, hop3.CodeNotFound, "App 'blog' not found.")
	_, err = s.db.NewDelivery(s.ctx, message("blog", "", "x"))
	s.fails(err, hop3.CodeNotFound, "App 'blog' not found.")
}
