package addons_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/abilian/hop3/addons"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

// sharer is a provider whose addons share a service.
type sharer interface {
	hop3.AddonProvider
	hop3.AddonSharer
}

// TestSharedServicesRest has the service of each provider end with its last
// addon, and the next one find it again.
func TestSharedServicesRest(t *testing.T) {
	t.Parallel()
	for _, shared := range []struct {
		service  string
		provider sharer
		need     func(*testing.T)
	}{
		{"postgres", new(addons.Postgres), func(t *testing.T) { needPostgres(t) }},
		{"mysql", new(addons.MySQL), func(t *testing.T) { needPrograms(t, "mariadb-server", "mariadbd") }},
	} {
		t.Run(shared.service, func(t *testing.T) {
			t.Parallel()
			shared.need(t)
			server := servicestest.Server(t, nil)
			if shared.service == "postgres" {
				server.Runs = unsafeServices{server.Runs}
			}
			shared.provider.Open(server)
			rests(t, shared.provider, server, shared.service)
		})
	}
}

// rests tells the life of a shared service.
func rests(t *testing.T, p sharer, server hop3test.AddonServer, service string) {
	dir, err := server.Services().Prepare(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	runs := func(want bool, when string) {
		t.Helper()
		_, err := os.Stat(filepath.Join(dir.Data, "..", "service.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if (err == nil) != want {
			t.Errorf("%s it is meant to run: %v, want %v", when, err == nil, want)
		}
	}
	rest := func(addons ...hop3.Addon) {
		t.Helper()
		if err := p.Rest(t.Context(), addons); err != nil {
			t.Fatal(err)
		}
	}
	rest() // there is none yet
	for _, name := range []string{"first", "second"} {
		a := hop3.Addon{Type: p.Name(), Name: name}
		if a.Details, err = p.Plan(t.Context(), a); err == nil {
			err = p.Create(t.Context(), a)
		}
		if err != nil {
			t.Fatal(err)
		}
		other := hop3.Addon{Type: p.Name(), Name: "elsewhere", Details: hop3.AddonDetails{"service": "its-own"}}
		rest(other, a)
		runs(true, "with "+name)
		if _, err := p.Status(t.Context(), a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Destroy(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		rest(other)
		runs(false, "without "+name)
		if _, err := os.Stat(dir.Data); err != nil {
			t.Errorf("what it holds: %v", err)
		}
	}
}
