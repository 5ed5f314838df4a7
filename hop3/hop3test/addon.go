package hop3test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

// AddonServer is a hop3.AddonServer of settings and services.
type AddonServer struct {
	Settings map[string]string
	Runs     hop3.Services // nil: the server runs none
}

// Setting returns one of Settings.
func (s AddonServer) Setting(key string) string { return s.Settings[key] }

// Services returns Runs.
func (s AddonServer) Services() hop3.Services { return s.Runs }

// AddonClient is how the suite uses an addon: as an app does, with nothing but
// the variables. A provider of addons that hold no data leaves out Write and
// what follows it.
type AddonClient struct {
	// Variables are the names that an app is given, all of them.
	Variables []string
	// Dedicated, Options and Secrets are what each addon is asked for with.
	Dedicated bool
	Options   map[string][]string
	Secrets   hop3.AddonDetails // as the user gives them
	// Broken are servers with something wrong, such as a password that is, by
	// what it is. Nothing that needs the service works there.
	Broken map[string]hop3.AddonServer

	// Brief leaves out what another run of the suite has told of the same
	// provider, with other settings.
	Brief bool

	// Write keeps value under key, and makes what it needs for that, as a
	// table; Read returns it, "" where there is none.
	Write func(ctx context.Context, env hop3.Env, key, value string) error
	Read  func(ctx context.Context, env hop3.Env, key string) (string, error)
	// Trespass tries all ways there are from one addon to the data of another,
	// to read and to change them. It returns nil when one of them led there.
	Trespass func(ctx context.Context, env, other hop3.Env, key string) error
	// Alter does to what Write made what only its owner may, as ALTER TABLE;
	// nil where there is no such thing.
	Alter func(ctx context.Context, env hop3.Env) error
	// Fragile says that a restore that fails may lose what the addon held.
	Fragile bool
}

// Addon checks a provider, new and not opened, against hop3.AddonProvider and
// what else it implements of hop3.AddonRotator, AddonDumper and AddonActions.
// It has a service of its own on server: addons are made, and all of them
// destroyed.
func Addon(t *testing.T, provider hop3.AddonProvider, server hop3.AddonServer, client AddonClient) {
	module, ok := provider.(caddy.Module)
	if !ok || string(module.CaddyModule().ID) != "hop3.addons."+provider.Name() {
		t.Fatalf("%T is not the Caddy module hop3.addons.%s", provider, provider.Name())
	}
	if err := provider.Open(server); err != nil {
		t.Fatalf("Open: %v", err)
	}
	for _, story := range []struct {
		name string
		tell func(*addonTest)
		// data says that it is about what addons hold, once that it does not
		// depend on settings.
		data, once bool
	}{
		{"a plan makes nothing", (*addonTest).plan, false, true},
		{"what is not known is refused", (*addonTest).refused, false, true},
		{"it is made, and made again", (*addonTest).created, false, false},
		{"it is destroyed, and destroyed again", (*addonTest).destroyed, false, false},
		{"another server goes on with it", (*addonTest).continued, false, true},
		{"what was begun is completed", (*addonTest).interrupted, true, true},
		{"a context that ended changes nothing", (*addonTest).canceled, true, true},
		{"many are made at once", (*addonTest).many, true, true},
		{"none reaches another's data", (*addonTest).apart, true, false},
		{"similar names are two addons", (*addonTest).similar, true, true},
		{"hostile names do no harm", (*addonTest).hostileNames, true, true},
		{"a server with something wrong says what", (*addonTest).broken, false, false},
		{"credentials rotate", (*addonTest).rotates, true, false},
		{"a rotation is given up", (*addonTest).rotationGivenUp, true, true},
		{"a dump is restored", (*addonTest).dumped, true, false},
		{"a dump that is not whole is refused", (*addonTest).truncated, true, true},
		{"a dump that cannot be written is an error", (*addonTest).unwritten, true, true},
		{"actions answer", (*addonTest).actions, false, true},
	} {
		if story.data && client.Write == nil || story.once && client.Brief {
			continue
		}
		t.Run(story.name, func(t *testing.T) {
			story.tell(&addonTest{T: t, provider: provider, server: server, client: client, again: map[string]hop3.AddonDetails{}})
		})
	}
}

// addonTest is one story about a provider.
type addonTest struct {
	*testing.T
	provider hop3.AddonProvider
	server   hop3.AddonServer
	client   AddonClient
	again    map[string]hop3.AddonDetails // by name, those of a second plan
}

// addon is an addon as asked for, that nothing is settled of.
func (t *addonTest) addon(name string) hop3.Addon {
	return hop3.Addon{
		Type: t.provider.Name(), Name: name, Status: hop3.AddonCreating, CreatedAt: time.Now(),
		Dedicated: t.client.Dedicated, Options: t.client.Options, Details: maps.Clone(t.client.Secrets),
	}
}

// planned settles an addon. It is destroyed with the test.
func (t *addonTest) planned(name string) hop3.Addon {
	t.Helper()
	a := t.addon(name)
	details, err := t.provider.Plan(t.Context(), a)
	if err != nil {
		t.Fatalf("Plan of %s: %v", name, err)
	}
	if t.again[name], err = t.provider.Plan(t.Context(), a); err != nil {
		t.Fatalf("Plan of %s again: %v", name, err)
	}
	a.Details = details
	t.Cleanup(func() { t.destroy(a) })
	return a
}

// made makes an addon.
func (t *addonTest) made(name string) hop3.Addon {
	t.Helper()
	a := t.planned(name)
	t.create(a)
	return a
}

func (t *addonTest) create(a hop3.Addon) {
	t.Helper()
	if err := t.provider.Create(t.Context(), a); err != nil {
		t.Fatalf("Create of %s: %v", a.Name, err)
	}
}

func (t *addonTest) destroy(a hop3.Addon) {
	t.Helper()
	if err := t.provider.Destroy(context.WithoutCancel(t.Context()), a); err != nil {
		t.Errorf("Destroy of %s: %v", a.Name, err)
	}
}

func (t *addonTest) write(a hop3.Addon, key, value string) {
	t.Helper()
	if err := t.client.Write(t.Context(), t.provider.Variables(a), key, value); err != nil {
		t.Fatalf("writing to %s: %v", a.Name, err)
	}
}

func (t *addonTest) holds(a hop3.Addon, key, want string) {
	t.Helper()
	got, err := t.client.Read(t.Context(), t.provider.Variables(a), key)
	if err != nil || got != want {
		t.Errorf("%s has %.80q under %q, %v; want %.80q", a.Name, got, key, err, want)
	}
}

// shut fails when an app gets into an addon. It leaves the key alone.
func (t *addonTest) shut(a hop3.Addon, when string) {
	t.Helper()
	env := t.provider.Variables(a)
	if got, err := t.client.Read(t.Context(), env, "shut"); err == nil {
		t.Errorf("%s: %s can be read, it has %q", when, a.Name, got)
	}
}

// secrets are the values of an addon's details that nobody but apps may see:
// those that it would not have again, and those the user gave.
func (t *addonTest) secrets(a hop3.Addon) []string {
	t.Helper()
	const short = 12 // a port, a name
	var list []string
	for key, value := range a.Details {
		if len(value) >= short && (t.again[a.Name][key] != value || t.client.Secrets[key] == value) {
			list = append(list, value)
		}
	}
	return list
}

// tells fails when a text has one of the secrets of an addon.
func (t *addonTest) tells(what, text string, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s has a secret in it: %s", what, text)
		}
	}
}

func (t *addonTest) plan() {
	a := t.planned("planned")
	if t.client.Secrets == nil && maps.Equal(a.Details, t.again[a.Name]) {
		t.Errorf("two plans are the same: %v", a.Details)
	}
	if facts, err := t.provider.Status(t.Context(), a); err == nil && t.client.Write != nil {
		t.Errorf("what is only planned has a status: %v", facts)
	}
	if t.client.Write != nil {
		t.shut(a, "planned only")
	}
}

func (t *addonTest) refused() {
	a := t.addon("refused")
	a.Options = map[string][]string{"no-such-option": {"yes"}}
	if details, err := t.provider.Plan(t.Context(), a); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("an unknown option: %v, %v; want a CodeInvalid error", details, err)
	}
}

func (t *addonTest) created() {
	a := t.made("created")
	env := t.provider.Variables(a)
	if want := slices.Sorted(slices.Values(t.client.Variables)); !slices.Equal(env.Keys(), want) {
		t.Errorf("an app gets %q, want %q", env.Keys(), want)
	}
	for key, value := range env {
		if err := errors.Join(hop3.ValidateEnvKey(key), hop3.ValidateEnvValue(key, value)); err != nil || value == "" {
			t.Errorf("%s=%q: %v", key, value, err)
		}
	}
	if e := t.provider.Endpoint(a); e.Host == "" || e.Port < 1 || e.Port > 65535 || !strings.Contains(e.URL, "://") {
		t.Errorf("Endpoint = %+v", e)
	}
	facts, err := t.provider.Status(t.Context(), a)
	if err != nil || t.client.Write != nil && len(facts) == 0 {
		t.Errorf("Status = %v, %v", facts, err)
	}
	for _, f := range facts {
		if f.Property == "" || f.Value == "" {
			t.Errorf("Status has the empty fact %q", f)
		}
	}
	t.tells("the status", fmt.Sprint(facts), t.secrets(a))
	if t.client.Write == nil {
		t.create(a)
		return
	}
	t.write(a, "key", "value")
	for _, value := range hostileValues {
		t.write(a, value[:min(len(value), 40)], value)
	}
	t.create(a)
	if got := t.provider.Variables(a); !maps.Equal(got, env) {
		t.Error("the variables are others after a second Create")
	}
	t.holds(a, "key", "value")
	for _, value := range hostileValues {
		t.holds(a, value[:min(len(value), 40)], value)
	}
}

// hostileValues are what an app's users may have typed.
var hostileValues = []string{
	`'; DROP TABLE kept; --`, "\\.\n\\! touch /tmp/owned\n", "\\connect postgres", "line\r\nline\n\n", "\ttab\x01\x1b[31m", `"; $(id) ` + "`id`",
	"ünï\u2028cødé 🐘", `\N`, `%s %d {{.}} ${HOME}`, strings.Repeat("long ", 20_000), "\r\n*1\r\n$8\r\nFLUSHALL\r\n",
}

func (t *addonTest) destroyed() {
	a := t.planned("destroyed")
	t.destroy(a)
	t.create(a)
	if t.client.Write != nil {
		t.write(a, "key", "value")
	}
	t.destroy(a)
	if t.client.Write != nil {
		t.shut(a, "destroyed")
		if facts, err := t.provider.Status(t.Context(), a); err == nil {
			t.Errorf("what is destroyed has a status: %v", facts)
		}
	}
	t.destroy(a)
	t.create(a)
	if t.client.Write != nil {
		t.write(a, "other", "value")
		t.holds(a, "key", "")
	}
	t.destroy(a)
}

// another returns a provider as another server opens it.
func (t *addonTest) another(server hop3.AddonServer) hop3.AddonProvider {
	t.Helper()
	p, ok := t.provider.(caddy.Module).CaddyModule().New().(hop3.AddonProvider)
	if !ok {
		t.Fatal("the module's New returns no provider")
	}
	if err := p.Open(server); err != nil {
		t.Fatalf("Open: %v", err)
	}
	return p
}

func (t *addonTest) continued() {
	a := t.planned("continued")
	next := t.another(t.server)
	if !maps.Equal(next.Variables(a), t.provider.Variables(a)) {
		t.Error("another server gives an app other variables")
	}
	if err := next.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if t.client.Write != nil {
		t.write(a, "key", "value")
	}
	if _, err := t.provider.Status(t.Context(), a); err != nil {
		t.Error(err)
	}
	if err := t.another(t.server).Destroy(t.Context(), a); err != nil {
		t.Error(err)
	}
}

// interrupted ends Create and Destroy after ever longer times, as a server
// that is killed does, and has them done again.
func (t *addonTest) interrupted() {
	for span := 500 * time.Microsecond; span < 10*time.Second; span *= 3 {
		a := t.planned("interrupted")
		ctx, cancel := context.WithTimeout(t.Context(), span)
		created := t.provider.Create(ctx, a)
		cancel()
		t.create(a)
		t.write(a, "key", "value")
		ctx, cancel = context.WithTimeout(t.Context(), span)
		destroyed := t.provider.Destroy(ctx, a)
		cancel()
		t.destroy(a)
		t.shut(a, "destroyed")
		if created == nil && destroyed == nil {
			return
		}
	}
}

func (t *addonTest) canceled() {
	a, dead := t.made("canceled"), t.planned("canceled-too")
	t.write(a, "key", "value")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := t.provider.Status(ctx, a)
	for what, err := range map[string]error{
		"Status": err, "Create": t.provider.Create(ctx, dead), "Destroy": t.provider.Destroy(ctx, a),
	} {
		if !errors.Is(err, context.Canceled) && hop3.CodeOf(err) != hop3.CodeCanceled {
			t.Errorf("%s without time: %v, want that it was canceled", what, err)
		}
	}
	t.shut(dead, "not created")
	t.holds(a, "key", "value")
}

func (t *addonTest) many() {
	const n = 5
	var made [n]hop3.Addon
	var failed [n]error
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			a := t.addon(fmt.Sprintf("many-%d", i))
			a.Details, failed[i] = t.provider.Plan(t.Context(), a)
			if failed[i] == nil {
				failed[i] = t.provider.Create(t.Context(), a)
			}
			if failed[i] == nil {
				failed[i] = t.client.Write(t.Context(), t.provider.Variables(a), "key", a.Name)
			}
			made[i] = a
		})
	}
	all.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		t.Error(err)
	}
	for _, a := range made {
		if !t.Failed() {
			t.holds(a, "key", a.Name)
		}
		if a.Details != nil {
			t.destroy(a)
		}
	}
}

func (t *addonTest) apart() {
	a, b := t.made("apart"), t.made("apart-too")
	t.write(a, "key", "of a")
	t.write(b, "key", "of b")
	for _, pair := range [][2]hop3.Addon{{a, b}, {b, a}} {
		if err := t.client.Trespass(t.Context(), t.provider.Variables(pair[0]), t.provider.Variables(pair[1]), "key"); err == nil {
			t.Errorf("%s gets at the data of %s", pair[0].Name, pair[1].Name)
		}
	}
	t.destroy(b)
	t.holds(a, "key", "of a")
}
