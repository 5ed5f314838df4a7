package hop3test

import (
	"context"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// AddonDatabase is the part of a store that knows the addons.
type AddonDatabase interface {
	Addons(ctx context.Context) ([]hop3.Addon, error)
	Addon(ctx context.Context, id hop3.AddonID) (hop3.Addon, error)
	CreateAddon(ctx context.Context, a hop3.Addon, events ...hop3.Event) error
	UpdateAddon(ctx context.Context, id hop3.AddonID, change func(*hop3.Addon) error, events ...hop3.Event) (hop3.Addon, error)
	RetireAddon(ctx context.Context, id hop3.AddonID, events ...hop3.Event) (hop3.Addon, error)
	DeleteAddon(ctx context.Context, id hop3.AddonID, events ...hop3.Event) error
	Attachments(ctx context.Context) ([]hop3.Attachment, error)
	AttachmentsOf(ctx context.Context, app string) ([]hop3.Attachment, error)
	SetAttachments(ctx context.Context, app string, list []hop3.Attachment, events ...hop3.Event) error
}

func (s *storeStory) addons() {
	s.app("blog")
	s.app("shop")
	db := hop3.Addon{
		Type: "postgres", Name: "db", Status: hop3.AddonCreating, Dedicated: true, Team: hop3.DefaultTeam, CreatedBy: "alice", App: "blog", Exposed: &hop3.Exposure{Port: 15000, Source: "any"},
		Options: map[string][]string{"extensions": {"citext", "ltree"}}, Details: hop3.AddonDetails{"password": "geheim"},
	}
	cache := hop3.Addon{Type: "redis", Name: "db", Status: hop3.AddonReady}
	s.ok(s.db.CreateAddon(s.ctx, db))
	s.ok(s.db.CreateAddon(s.ctx, cache))
	s.fails(s.db.CreateAddon(s.ctx, db), hop3.CodeConflict, "There is an addon postgres 'db' already.")
	got, err := s.connect().Addon(s.ctx, db.ID())
	s.ok(err)
	db.CreatedAt = got.CreatedAt
	s.same(got, db)
	_, err = s.db.Addon(s.ctx, hop3.AddonID{Type: "mysql", Name: "db"})
	s.fails(err, hop3.CodeNotFound, "There is no addon mysql 'db'.")

	at := func(id hop3.AddonID, primary bool) hop3.Attachment {
		return hop3.Attachment{App: "blog", Type: id.Type, Name: id.Name, Primary: primary}
	}
	s.fails(s.db.SetAttachments(s.ctx, "blog", []hop3.Attachment{at(db.ID(), true)}), hop3.CodeConflict, "The addon postgres 'db' is creating.")
	ready, err := s.db.UpdateAddon(s.ctx, db.ID(), func(a *hop3.Addon) error {
		a.Status, a.Next, a.Last = hop3.AddonReady, hop3.AddonDetails{"password": "next"}, hop3.AddonDetails{}
		return nil
	})
	s.ok(err)
	if ready.Next["password"] != "next" || ready.Last == nil || ready.Details["password"] != "geheim" {
		s.Errorf("it is %+v", ready)
	}
	s.ok(s.db.SetAttachments(s.ctx, "blog", []hop3.Attachment{at(db.ID(), true), at(cache.ID(), false)}))
	s.ok(s.db.SetAttachments(s.ctx, "shop", []hop3.Attachment{{App: "shop", Type: "postgres", Name: "db"}}))
	s.fails(s.db.SetAttachments(s.ctx, "blog", []hop3.Attachment{at(hop3.AddonID{Type: "s3", Name: "x"}, true)}), hop3.CodeNotFound, "There is no addon s3 'x'.")
	list, err := s.connect().AttachmentsOf(s.ctx, "blog")
	s.ok(err)
	if len(list) != 2 || !slices.ContainsFunc(list, func(a hop3.Attachment) bool { return a.Addon() == db.ID() && a.Primary && !a.At.IsZero() }) {
		s.Errorf("attached: %+v", list)
	}
	_, err = s.db.RetireAddon(s.ctx, db.ID())
	s.fails(err, hop3.CodeConflict, "The addon postgres 'db' is attached to blog, shop.\n`hop3 addon detach db --app blog` takes it away from one.")
	s.ok(s.db.SetAttachments(s.ctx, "blog", nil))
	s.ok(s.db.DeleteApp(s.ctx, "shop"))
	all, err := s.db.Attachments(s.ctx)
	s.ok(err)
	if len(all) != 0 {
		s.Errorf("%+v are attached", all)
	}
	retired, err := s.db.RetireAddon(s.ctx, db.ID())
	s.ok(err)
	if retired.Status != hop3.AddonDestroying {
		s.Errorf("it is %s", retired.Status)
	}
	s.ok(s.db.DeleteAddon(s.ctx, db.ID()))
	left, err := s.db.Addons(s.ctx)
	s.ok(err)
	if len(left) != 1 || left[0].ID() != cache.ID() {
		s.Errorf("left: %+v", left)
	}
}
