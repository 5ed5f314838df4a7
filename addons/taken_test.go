package addons_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// thief listens on the port of a service that is down, and keeps what it is told.
type thief struct {
	listener net.Listener
	mu       sync.Mutex
	told     bytes.Buffer
}

func newThief(t *testing.T, address string) *thief {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	th := &thief{listener: l}
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			th.mu.Lock()
			th.told.WriteString("(somebody) ")
			th.mu.Unlock()
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); passing.Wait() })
	return th
}

func (th *thief) heard() string {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.told.String()
}

// TestNobodyElseIsToldPasswords has another program take the port of each service
// while that is down: it is told nothing, users are told what holds the port, and
// all goes on when it is free again.
func TestNobodyElseIsToldPasswords(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		provider hop3.AddonProvider
		need     func(*testing.T)
	}{
		{new(addons.Postgres), func(t *testing.T) { needPostgres(t) }},
		{new(addons.MySQL), func(t *testing.T) { needPrograms(t, "mariadb-server", "mariadbd") }},
		{new(addons.Redis), func(t *testing.T) { needPrograms(t, "redis-server", "redis-server") }},
	} {
		t.Run(one.provider.Name(), func(t *testing.T) {
			t.Parallel()
			one.need(t)
			server, p := servicestest.Server(t, nil), one.provider
			if p.Name() == "postgres" {
				server.Runs = unsafeServices{server.Runs}
			}
			if err := p.Open(server); err != nil {
				t.Fatal(err)
			}
			a := hop3.Addon{Type: p.Name(), Name: "db"}
			var err error
			if a.Details, err = p.Plan(t.Context(), a); err == nil {
				err = p.Create(t.Context(), a)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Services().Stop(t.Context(), a.Details["service"]); err != nil {
				t.Fatal(err)
			}
			th := newThief(t, net.JoinHostPort("127.0.0.1", a.Details["port"]))
			err = p.Create(t.Context(), a)
			if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "port "+a.Details["port"]) || !strings.Contains(err.Error(), "taken by another process, addons.test") {
				t.Errorf("with its port taken: %v", err)
			}
			if heard := th.heard(); heard != "" {
				t.Errorf("another program was told %s", heard)
			}
			th.listener.Close()
			waitUntil(t, func(ctx context.Context) error { return p.Create(ctx, a) })
			if _, err := p.Status(t.Context(), a); err != nil {
				t.Errorf("with its port free again: %v", err)
			}
		})
	}
}
