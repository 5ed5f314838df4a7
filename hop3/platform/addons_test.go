package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// fakeAddons is a provider that fails, or has the server end, at chosen
// moments. The real ones are in package addons and in the stories.
type fakeAddons struct {
	kind string
	mu   sync.Mutex
	made map[string]string // name -> password that is valid, or several
	fail map[string]error  // verb -> what it returns
	seq  int
	// serves says that what addons share runs.
	serves bool
}

// Rest has what addons share rest when there are none.
func (f *fakeAddons) Rest(_ context.Context, addons []hop3.Addon) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.did("rest"); err != nil {
		return err
	}
	f.serves = f.serves && len(addons) > 0
	return nil
}

func (f *fakeAddons) did(verb string) error { return f.fail[verb] }

func (f *fakeAddons) Name() string                { return f.kind }
func (f *fakeAddons) Open(hop3.AddonServer) error { return nil }

func (f *fakeAddons) secret() string {
	f.seq++
	return fmt.Sprintf("s%d", f.seq)
}

func (f *fakeAddons) Plan(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(a.Options["extensions"], "evil") {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the extension 'evil' is not allowed")
	}
	f.serves = true
	return hop3.AddonDetails{"name": a.Name, "password": f.secret()}, f.did("plan")
}

func (f *fakeAddons) Create(_ context.Context, a hop3.Addon) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.did("create"); err != nil {
		return err
	}
	valid := strings.Fields(f.made[a.Name])
	if !slices.Contains(valid, a.Details["password"]) {
		valid = append(valid, a.Details["password"])
	}
	f.made[a.Name] = strings.Join(valid, " ")
	return f.did("created")
}

func (f *fakeAddons) Destroy(_ context.Context, a hop3.Addon) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.did("destroy"); err != nil {
		return err
	}
	delete(f.made, a.Name)
	return nil
}

func (f *fakeAddons) Variables(a hop3.Addon) hop3.Env {
	return hop3.Env{strings.ToUpper(f.kind) + "_URL": f.Endpoint(a).URL}
}

func (f *fakeAddons) Endpoint(a hop3.Addon) hop3.AddonEndpoint {
	return hop3.AddonEndpoint{Host: "127.0.0.1", Port: 1, URL: fmt.Sprintf("%s://u:%s@127.0.0.1:1/%s", f.kind, a.Details["password"], a.Details["name"])}
}

func (f *fakeAddons) Status(context.Context, hop3.Addon) ([]hop3.AddonFact, error) {
	return nil, f.did("status")
}

func (f *fakeAddons) Rotated(_ context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return hop3.AddonDetails{"name": a.Name, "password": f.secret()}, f.did("rotated")
}

func (f *fakeAddons) Revoke(_ context.Context, a hop3.Addon, old hop3.AddonDetails) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.did("revoke"); err != nil {
		return err
	}
	f.made[a.Name] = strings.Join(slices.DeleteFunc(strings.Fields(f.made[a.Name]), func(s string) bool { return s == old["password"] }), " ")
	return nil
}

func newFakeAddons(kind string) *fakeAddons {
	return &fakeAddons{kind: kind, made: map[string]string{}, fail: map[string]error{}}
}

// withAddonsOf gives the world providers, also after a reboot.
func (w *world) withAddonsOf(providers ...*fakeAddons) {
	w.Providers = nil
	for _, p := range providers {
		w.Providers = append(w.Providers, p)
	}
}

func (w *world) create(kind, name string) hop3.AddonID {
	w.t.Helper()
	_, err := w.CreateAddon(w.t.Context(), alice, hop3.AddonRequest{Type: kind, Name: name}, w.out)
	w.must(err)
	return hop3.AddonID{Type: kind, Name: name}
}

// env is what blog's instances have of addons.
func (w *world) addonVars() map[string]string {
	w.t.Helper()
	app := w.app()
	r, err := w.Store.Release(w.t.Context(), "blog", app.Live)
	w.must(err)
	vars := map[string]string{}
	for key, origin := range r.Origins {
		if origin == hop3.OriginAddon {
			vars[key] = r.Env[key]
		}
	}
	return vars
}

func TestAddons_AttachedAddonsGiveVariables(t *testing.T) {
	w := newWorld(t)
	w.withAddonsOf(newFakeAddons("postgres"), newFakeAddons("redis"))
	w.deployed("one")
	_, err := w.SetEnv(t.Context(), alice, "blog", hop3.Env{"REDIS_URL": "mine"}, nil, w.out)
	w.must(err)
	db, cache, second := w.create("postgres", "db"), w.create("redis", "cache"), w.create("redis", "cache-2")

	for _, id := range []hop3.AddonID{db, cache, second} {
		change, err := w.AttachAddon(t.Context(), alice, "blog", id, false, w.out)
		w.must(err)
		if change.Release == 0 {
			t.Errorf("attaching %s made no release", id)
		}
	}
	w.serves(5)
	want := map[string]string{
		"POSTGRES_URL":      "postgres://u:s1@127.0.0.1:1/db",
		"REDIS_URL":         "redis://u:s1@127.0.0.1:1/cache",
		"CACHE_2_REDIS_URL": "redis://u:s2@127.0.0.1:1/cache-2",
	}
	if got := w.addonVars(); !maps.Equal(got, want) {
		t.Errorf("it has %v", got)
	}
	_, err = w.PromoteAddon(t.Context(), alice, "blog", second, w.out)
	w.must(err)
	if got := w.addonVars(); got["REDIS_URL"] != "redis://u:s2@127.0.0.1:1/cache-2" || got["CACHE_REDIS_URL"] != "redis://u:s1@127.0.0.1:1/cache" || len(got) != 3 {
		t.Errorf("promoted: %v", got)
	}
	// The other one is primary again, then none: what the user set is back.
	for _, id := range []hop3.AddonID{second, cache} {
		_, err = w.DetachAddon(t.Context(), alice, "blog", id, w.out)
		w.must(err)
	}
	r, err := w.Store.Release(t.Context(), "blog", w.app().Live)
	w.must(err)
	if r.Env["REDIS_URL"] != "mine" || r.Origins["REDIS_URL"] != hop3.OriginConfig || len(w.addonVars()) != 1 {
		t.Errorf("detached: %v", r.Env)
	}
	// A deploy and a rollback have them too, as they are now.
	w.deployed("two")
	if got := w.addonVars(); got["POSTGRES_URL"] == "" {
		t.Errorf("deployed: %v", got)
	}
	_, err = w.Rollback(t.Context(), alice, "blog", 1, w.out)
	w.must(err)
	if got := w.addonVars(); got["POSTGRES_URL"] == "" {
		t.Errorf("rolled back to before it was attached: %v", got)
	}
	if err := w.DestroyAddon(t.Context(), alice, db, w.out); hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "is attached to blog") {
		t.Errorf("destroying what is attached: %v", err)
	}
}

func TestAddons_WhatDoesNotStartChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.withAddonsOf(newFakeAddons("postgres"))
	w.deployed("one")
	db := w.create("postgres", "db")
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "not ready")
	if _, err := w.AttachAddon(t.Context(), alice, "blog", db, false, w.out); hop3.CodeOf(err) != hop3.CodeDeploy {
		t.Errorf("%v", err)
	}
	w.prober.fail = nil
	w.serves(1)
	if list, err := w.Store.AttachmentsOf(t.Context(), "blog"); err != nil || len(list) > 0 {
		t.Errorf("%v is attached, %v", list, err)
	}
}

func TestAddons_HalfMadeAddonsGo(t *testing.T) {
	w := newWorld(t)
	f := newFakeAddons("postgres")
	w.withAddonsOf(f)
	f.fail["created"] = errors.New("the connection broke")
	_, err := w.CreateAddon(t.Context(), alice, hop3.AddonRequest{Type: "postgres", Name: "db1"}, w.out)
	if err == nil || len(f.made) != 0 {
		t.Errorf("%v, and there is %v", err, f.made)
	}
	// The service does not answer any more: what is half made goes later.
	f.fail["destroy"] = hop3.Errorf(hop3.CodeUnavailable, "PostgreSQL does not answer")
	_, err = w.CreateAddon(t.Context(), alice, hop3.AddonRequest{Type: "postgres", Name: "db2"}, w.out)
	if err == nil {
		t.Error("it was made")
	}
	all, err := w.Addons(t.Context(), alice, "", "")
	w.must(err)
	if len(all) != 1 || all[0].Status != hop3.AddonCreating {
		t.Errorf("there are %+v", all)
	}
	if err := w.settleAddons(t.Context()); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("%v", err)
	}
	w.reboot()
	w.withAddonsOf(f)
	clear(f.fail)
	w.must(w.settleAddons(t.Context()))
	if all, _ := w.Addons(t.Context(), alice, "", ""); len(all) != 0 || len(f.made) != 0 {
		t.Errorf("there are %+v, %v", all, f.made)
	}
	// And at once, when it is asked for again.
	f.fail["created"], f.fail["destroy"] = errors.New("broken"), errors.New("broken")
	_, _ = w.CreateAddon(t.Context(), alice, hop3.AddonRequest{Type: "postgres", Name: "db2"}, w.out)
	clear(f.fail)
	w.create("postgres", "db2")
	if !maps.Equal(f.made, map[string]string{"db2": "s4"}) {
		t.Errorf("there is %v", f.made)
	}
}

func TestAddons_RotationEndsWhereItBegan(t *testing.T) {
	w := newWorld(t)
	f := newFakeAddons("postgres")
	w.withAddonsOf(f)
	w.deployed("one")
	db := w.create("postgres", "db1")
	_, err := w.AttachAddon(t.Context(), alice, "blog", db, false, w.out)
	w.must(err)
	w.must(w.RotateAddon(t.Context(), alice, db, w.out))
	w.serves(3)
	if got := w.addonVars()["POSTGRES_URL"]; f.made["db1"] != "s2" || !strings.Contains(got, ":s2@") {
		t.Errorf("%s is valid, the app has %s", f.made["db1"], got)
	}
	// An app that does not start keeps what it has, which still works.
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "not ready")
	err = w.RotateAddon(t.Context(), alice, db, w.out)
	if hop3.CodeOf(err) != hop3.CodeDeploy || !strings.Contains(err.Error(), "Both the old credentials and the new ones work") {
		t.Errorf("%v", err)
	}
	w.serves(3)
	if f.made["db1"] != "s2 s3" {
		t.Errorf("%s is valid", f.made["db1"])
	}
	// A server that starts goes on with it.
	w.settled()
	w.reboot()
	w.withAddonsOf(f)
	w.must(w.Reconcile(t.Context()))
	w.must(w.settleAddons(t.Context()))
	w.settled()
	if got := w.addonVars()["POSTGRES_URL"]; f.made["db1"] != "s3" || !strings.Contains(got, ":s3@") {
		t.Errorf("%s is valid, the app has %s", f.made["db1"], got)
	}
	if a, err := w.Store.Addon(t.Context(), db); err != nil || a.Last != nil || a.Next != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAddons_ManifestsMakeThem(t *testing.T) {
	w := newWorld(t)
	f := newFakeAddons("postgres")
	w.withAddonsOf(f)
	declare := func(version, toml string) error {
		req := w.request(version)
		req.Source = withFile{fakeSource{version}, "hop3.toml", toml}
		_, err := w.Deploy(t.Context(), alice, req)
		w.settled()
		return err
	}
	// What fails for ever leaves nothing.
	if err := declare("bad", "[[addons]]\ntype = \"postgres\"\nextensions = [\"evil\"]\n"); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "postgres 'blog-postgres': the extension 'evil'") {
		t.Errorf("%v", err)
	}
	if err := declare("bad", "[[addons]]\ntype = \"mongodb\"\n"); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "\"mongodb\" is no type of addon") {
		t.Errorf("%v", err)
	}
	w.must(declare("one", "[env]\nHOST = { from = \"postgres\", key = \"host\" }\n[[addons]]\ntype = \"postgres\"\nextensions = [\"citext\"]\n[[addons]]\ntype = \"postgres\"\nname = \"other\"\n"))
	if got := slices.Sorted(maps.Keys(w.addonVars())); !slices.Equal(got, []string{"OTHER_POSTGRES_URL", "POSTGRES_URL"}) {
		t.Errorf("it has %v", got)
	}
	r, err := w.Store.Release(t.Context(), "blog", w.app().Live)
	w.must(err)
	if r.Env["HOST"] != "127.0.0.1" {
		t.Errorf("HOST is %q", r.Env["HOST"])
	}
	before := maps.Clone(f.made)
	w.must(declare("two", "[[addons]]\ntype = \"postgres\"\nextensions = [\"citext\", \"ltree\"]\n"))
	if !maps.Equal(before, f.made) {
		t.Errorf("the second deploy made %v", f.made)
	}
	if a, err := w.Store.Addon(t.Context(), hop3.AddonID{Type: "postgres", Name: "blog-postgres"}); err != nil || len(a.Options["extensions"]) != 2 || a.App != "blog" {
		t.Errorf("%+v, %v", a, err)
	}
	err = declare("three", "[env]\nX = { from = \"nodb\", key = \"host\" }\n")
	if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), "It has: blog-postgres, other, postgres.") {
		t.Errorf("%v", err)
	}
	// The data of an app that is destroyed stay.
	w.must(w.DestroyApp(t.Context(), alice, "blog", w.out))
	if !maps.Equal(before, f.made) {
		t.Errorf("%v is left", f.made)
	}
}

func TestAddons_AFirstDeployThatFailsLeavesNone(t *testing.T) {
	w := newWorld(t)
	f := newFakeAddons("postgres")
	w.withAddonsOf(f)
	req := w.request("one")
	req.Source = withFile{fakeSource{"one"}, "hop3.toml", "[[addons]]\ntype = \"postgres\"\n[env]\nX = { from = \"nodb\", key = \"host\" }\n"}
	if _, err := w.Deploy(t.Context(), alice, req); err == nil {
		t.Fatal("it was deployed")
	}
	w.settled()
	apps, err := w.Store.Apps(t.Context())
	w.must(err)
	if len(apps) == 0 && len(f.made) > 0 {
		t.Errorf("%v is left", f.made)
	}
}

func TestAddons_OthersDoNotSeeThem(t *testing.T) {
	w := newWorld(t)
	w.withAddonsOf(newFakeAddons("postgres"))
	w.deployed("one")
	db := w.create("postgres", "db1")
	for _, name := range []string{"stranger", "viewer", "helper"} {
		w.must(w.Store.CreateUser(t.Context(), hop3.User{Username: name, Active: true}))
		w.must(w.Store.SetMember(t.Context(), hop3.DefaultTeam, hop3.Member{Username: name}))
	}
	w.must(w.Store.SetGrant(t.Context(), hop3.Grant{App: "blog", User: "viewer", Role: hop3.RoleViewer}))
	w.must(w.Store.SetGrant(t.Context(), hop3.Grant{App: "blog", User: "helper", Role: hop3.RoleDeployer}))
	helper, viewer := Actor{Username: "helper"}, Actor{Username: "viewer"}
	if _, err := w.AttachAddon(t.Context(), helper, "blog", db, false, w.out); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("a stranger attaches: %v", err)
	}
	_, err := w.AttachAddon(t.Context(), alice, "blog", db, false, w.out)
	w.must(err)
	for who, want := range map[string]int{"stranger": 0, "viewer": 1, "helper": 1} {
		if all, err := w.Addons(t.Context(), Actor{Username: who}, "", ""); err != nil || len(all) != want || want == 1 && all[0].Details != nil {
			t.Errorf("%s sees %+v, %v", who, all, err)
		}
	}
	if _, err := w.AddonVariables(t.Context(), viewer, db); hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Errorf("a viewer sees the credentials: %v", err)
	}
	if vars, err := w.AddonVariables(t.Context(), helper, db); err != nil || len(vars) == 0 {
		t.Errorf("a deployer of the app: %v, %v", vars, err)
	}
	if err := w.DestroyAddon(t.Context(), helper, db, w.out); hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Errorf("a deployer of the app destroys: %v", err)
	}
	// A manifest does not take what its deployer may not use.
	w.must(w.Store.CreateTeam(t.Context(), "others"))
	w.must(w.Store.SetMember(t.Context(), "others", hop3.Member{Username: "stranger", Role: hop3.RoleDeployer}))
	req := DeployRequest{App: "spy", Kind: hop3.ReleaseUpload, Out: w.out, Source: withFile{fakeSource{"one"}, "hop3.toml", "[[addons]]\ntype = \"postgres\"\nname = \"db1\"\n"}}
	if _, err := w.Deploy(t.Context(), Actor{Username: "stranger"}, req); hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Errorf("a stranger's manifest: %v", err)
	}
}

func TestAddons_LeaveEvents(t *testing.T) {
	w := newWorld(t)
	w.withAddonsOf(newFakeAddons("postgres"))
	w.deployed("one")
	who := Actor{Username: "alice", Source: "192.0.2.7"}
	_, err := w.CreateAddon(t.Context(), who, hop3.AddonRequest{Type: "postgres", Name: "db"}, w.out)
	w.must(err)
	db := hop3.AddonID{Type: "postgres", Name: "db"}
	_, err = w.AttachAddon(t.Context(), who, "blog", db, false, w.out)
	w.must(err)
	_, err = w.AddonVariables(t.Context(), who, db)
	w.must(err)
	w.must(w.RotateAddon(t.Context(), who, db, w.out))
	_, err = w.DetachAddon(t.Context(), who, "blog", db, w.out)
	w.must(err)
	w.must(w.DestroyAddon(t.Context(), who, db, w.out))
	want := strings.Join([]string{
		"addon.created alice@192.0.2.7  v0: the addon postgres 'db' was made",
		"addon.attached alice@192.0.2.7 blog v0: the addon postgres 'db' was attached to 'blog'",
		"addon.revealed alice@192.0.2.7  v0: of the addon postgres 'db', somebody was shown its credentials",
		"addon.rotated alice@192.0.2.7  v0: the addon postgres 'db' and its apps have other credentials",
		"addon.detached alice@192.0.2.7 blog v0: the addon postgres 'db' was detached from 'blog'",
		"addon.destroyed alice@192.0.2.7  v0: the addon postgres 'db' was destroyed",
	}, "\n")
	if got := w.told("addon"); got != want {
		t.Errorf("events:\n%s\nwant\n%s", got, want)
	}
	for _, secret := range []string{"s1", "s2"} {
		if all := w.told(""); strings.Contains(all, ":"+secret) {
			t.Errorf("a secret is in the events:\n%s", all)
		}
	}
}

func TestAddons_PreviewsHaveTheirOwn(t *testing.T) {
	w := newWorld(t)
	f := newFakeAddons("postgres")
	w.withAddonsOf(f)
	w.previewing()
	db := w.create("postgres", "db")
	_, err := w.AttachAddon(t.Context(), alice, "blog", db, false, w.out)
	w.must(err)
	w.repos.toml = "[[addons]]\ntype = \"postgres\"\nname = \"db\"\n"
	w.must(w.pushed("feature", hash2, true, "preview"))
	r, err := w.Store.Release(t.Context(), "feature--blog", 1)
	w.must(err)
	if got := r.Env["POSTGRES_URL"]; !strings.Contains(got, "/feature--blog-db") {
		t.Errorf("the preview has %q", got)
	}
	w.must(w.RemovePreview(t.Context(), alice, "blog", "feature", w.out))
	w.settled()
	if got := slices.Sorted(maps.Keys(f.made)); !slices.Equal(got, []string{"db"}) {
		t.Errorf("%v are left", got)
	}
	if all, err := w.Store.Addons(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}
