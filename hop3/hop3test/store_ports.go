package hop3test

import (
	"fmt"
	"strings"
	"sync"

	"github.com/abilian/hop3/hop3"
)

func (s *storeStory) ports() {
	smtp := hop3.Port{Number: 2525, Protocol: "tcp", Name: "smtp", Source: "10.0.0.0/8"}
	dns, other := hop3.Port{Number: 5353, Protocol: "udp", Source: hop3.AnySource}, hop3.Port{Number: 5353, Protocol: "tcp", Source: hop3.AnySource}
	s.app("mail")
	s.app("names")
	s.ok(s.db.ClaimPorts(s.ctx, "mail", []hop3.Port{smtp, other, smtp}))
	s.ok(s.db.ClaimPorts(s.ctx, "names", []hop3.Port{dns}))
	s.checkPorts(hop3.PortClaim{Port: smtp, App: "mail"}, hop3.PortClaim{Port: other, App: "mail"}, hop3.PortClaim{Port: dns, App: "names"})
	s.portTaken(s.db.ClaimPorts(s.ctx, "mail", []hop3.Port{smtp, dns}))
	s.checkPorts(hop3.PortClaim{Port: smtp, App: "mail"}, hop3.PortClaim{Port: other, App: "mail"}, hop3.PortClaim{Port: dns, App: "names"})

	// A release that is committed has its own ports, and no others.
	r, err := s.db.NewRelease(s.ctx, hop3.Release{App: "mail", Status: hop3.ReleaseBuilding, Ports: []hop3.Port{other}})
	s.ok(err)
	s.ok(s.db.Commit(s.ctx, "mail", r.Number))
	s.checkPorts(hop3.PortClaim{Port: other, App: "mail"}, hop3.PortClaim{Port: dns, App: "names"})
	r, err = s.db.NewRelease(s.ctx, hop3.Release{App: "mail", Status: hop3.ReleaseBuilding, Ports: []hop3.Port{dns}})
	s.ok(err)
	s.portTaken(s.db.Commit(s.ctx, "mail", r.Number))
	s.ok(s.db.DeleteApp(s.ctx, "names"))
	s.ok(s.db.ClaimPorts(s.ctx, "mail", nil))
	s.checkPorts()
}

func (s *storeStory) portRace() {
	const rivals = 4
	var wg sync.WaitGroup
	errs := make(chan error, rivals)
	for i := range rivals {
		app := fmt.Sprintf("app%d", i)
		s.app(app)
		ports := []hop3.Port{{Number: 4000, Protocol: "tcp"}, {Number: 4001, Protocol: "tcp"}}
		if i%2 == 1 { // in opposite orders, which must not deadlock
			ports[0], ports[1] = ports[1], ports[0]
		}
		db := s.connect()
		wg.Go(func() { errs <- db.ClaimPorts(s.ctx, app, ports) })
	}
	wg.Wait()
	close(errs)
	won := 0
	for err := range errs {
		if err == nil {
			won++
		} else if hop3.CodeOf(err) != hop3.CodeConflict {
			s.Errorf("a rival got %v", err)
		}
	}
	s.same(won, 1)
}

func (s *storeStory) checkPorts(want ...hop3.PortClaim) {
	s.Helper()
	got, err := s.db.Ports(s.ctx)
	s.ok(err)
	s.same(len(got), len(want))
	for i := range got {
		s.same(got[i], want[i])
	}
}

func (s *storeStory) portTaken(err error) {
	s.Helper()
	if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "Port 5353/udp of the host already belongs to app 'names'.") {
		s.Errorf("got %v, want a conflict that names the owner", err)
	}
}
