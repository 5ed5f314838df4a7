package platform

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestDomains_OfAppsThatWereNotDeployedAreTheirs(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	for _, name := range []string{"shop", "wiki"} {
		_, err := w.CreateApp(t.Context(), alice, name)
		w.must(err)
	}
	add := func(app, host string) error {
		_, err := w.AddDomains(t.Context(), alice, app, []string{host}, w.out)
		return err
	}
	refused := func(err error, owner string) {
		t.Helper()
		if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "meant for app '"+owner+"'") {
			t.Errorf("%v; want it to be meant for %s", err, owner)
		}
	}
	w.must(add("shop", "www.example.com"))
	refused(add("wiki", "www.example.com"), "shop")
	refused(add("blog", "www.example.com"), "shop")
	refused(add("blog", "wiki."+w.Settings.BaseDomain), "wiki")
	w.must(add("shop", "www.example.com")) // its own, again

	req := DeployRequest{App: "wiki", Kind: hop3.ReleaseUpload, Out: w.out, Source: fakeSource{"one"}}
	req.Env = hop3.Env{hop3.HostName: "www.example.com"}
	_, err := w.Deploy(t.Context(), alice, req)
	refused(err, "shop")

	_, err = w.RemoveDomains(t.Context(), alice, "shop", []string{"www.example.com"}, w.out)
	w.must(err)
	w.must(add("blog", "www.example.com"))
	// What another app wants does not take the name that each has.
	w.must(w.Store.CreateApp(t.Context(), hop3.App{Name: "thief", Team: hop3.DefaultTeam, Env: hop3.Env{hop3.HostName: "wiki." + w.Settings.BaseDomain}}))
	req.Env = nil
	_, err = w.Deploy(t.Context(), alice, req)
	w.must(err)
}
