package hop3test

import (
	"context"
	"time"

	"github.com/abilian/hop3/hop3"
)

// FirewallDatabase is what a store does for firewalls.
type FirewallDatabase interface {
	Networks(ctx context.Context) ([]hop3.Network, error)
	SetNetwork(ctx context.Context, n hop3.Network) error
	DeleteNetwork(ctx context.Context, name string) error
	Bans(ctx context.Context, at time.Time) ([]hop3.Ban, error)
	SaveBan(ctx context.Context, b hop3.Ban) error
	DeleteBans(ctx context.Context, app, source string) (int, error)
}

func (s *storeStory) networks() {
	office := hop3.Network{Name: "office", CIDRs: []string{"203.0.113.0/24", "2001:db8::/32"}}
	vpn := hop3.Network{Name: "VPN", CIDRs: []string{"10.8.0.0/24"}}
	s.ok(s.db.SetNetwork(s.ctx, office))
	s.ok(s.db.SetNetwork(s.ctx, vpn))
	office.CIDRs = office.CIDRs[:1]
	s.ok(s.db.SetNetwork(s.ctx, office))
	list, err := s.connect().Networks(s.ctx)
	s.ok(err)
	if len(list) != 2 {
		s.Fatalf("%+v", list)
	}
	for _, n := range list {
		want := office
		if n.Name == vpn.Name {
			want = vpn
		}
		s.same(n, want)
	}
	s.ok(s.db.DeleteNetwork(s.ctx, "VPN"))
	s.fails(s.db.DeleteNetwork(s.ctx, "VPN"), hop3.CodeNotFound, "There is no network 'VPN'.")
	list, err = s.db.Networks(s.ctx)
	s.ok(err)
	s.same(list, []hop3.Network{office})
}

func (s *storeStory) bans() {
	s.app("blog")
	s.app("shop")
	now := time.UnixMicro(time.Now().UnixMicro()).UTC()
	ban := func(app, source string, lasts time.Duration) hop3.Ban {
		return hop3.Ban{App: app, Source: source, Reason: "942100 sqli", Since: now, Expires: now.Add(lasts)}
	}
	first, second := ban("blog", "192.0.2.1", time.Hour), ban("blog", "2001:db8::/64", time.Minute)
	for _, b := range []hop3.Ban{first, second, ban("shop", "192.0.2.1", time.Minute)} {
		s.ok(s.db.SaveBan(s.ctx, b))
	}
	first.Expires, first.Reason = now.Add(2*time.Hour), "gate\x00 office"
	s.ok(s.db.SaveBan(s.ctx, first))
	first.Reason = "gate\uFFFD office"
	s.checkBans(now, first, second, ban("shop", "192.0.2.1", time.Minute))
	s.checkBans(now.Add(time.Minute), first)
	s.fails(s.db.SaveBan(s.ctx, ban("nobody", "192.0.2.1", time.Hour)), hop3.CodeNotFound, "App 'nobody' not found.")

	n, err := s.db.DeleteBans(s.ctx, "blog", "2001:db8::/64")
	s.ok(err)
	s.same(n, 1)
	s.ok(s.db.DeleteApp(s.ctx, "shop"))
	s.checkBans(now, first)

	// One that begins sweeps those away that are over.
	late := ban("blog", "192.0.2.9", 4*time.Hour)
	late.Since = now.Add(3 * time.Hour)
	s.ok(s.db.SaveBan(s.ctx, late))
	s.checkBans(now, late)
	n, err = s.db.DeleteBans(s.ctx, "blog", "")
	s.ok(err)
	s.same(n, 1)
	s.checkBans(now)
}

func (s *storeStory) checkBans(at time.Time, want ...hop3.Ban) {
	s.Helper()
	got, err := s.connect().Bans(s.ctx, at)
	s.ok(err)
	for i := range got {
		got[i].Since, got[i].Expires = got[i].Since.UTC(), got[i].Expires.UTC()
	}
	s.same(got, want)
}
