// Package hop3test has the conformance suites: one for each interface that
// more than one package implements. A new implementation calls its suite from
// a test of ten lines.
package hop3test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Database is what a store does: the methods of platform.Store, and Close.
type Database interface {
	Apps(ctx context.Context) ([]hop3.App, error)
	App(ctx context.Context, name string) (hop3.App, error)
	CreateApp(ctx context.Context, app hop3.App, events ...hop3.Event) error
	UpdateApp(ctx context.Context, name string, change func(*hop3.App) error, events ...hop3.Event) (hop3.App, error)
	DeleteApp(ctx context.Context, name string, events ...hop3.Event) error

	NewRelease(ctx context.Context, r hop3.Release) (hop3.Release, error)
	Release(ctx context.Context, app string, number int) (hop3.Release, error)
	Releases(ctx context.Context, app string) ([]hop3.Release, error)
	UpdateRelease(ctx context.Context, app string, number int, change func(*hop3.Release) error, events ...hop3.Event) (hop3.Release, error)
	DeleteRelease(ctx context.Context, app string, number int, events ...hop3.Event) error
	Commit(ctx context.Context, app string, number int, events ...hop3.Event) error
	ClaimPorts(ctx context.Context, app string, ports []hop3.Port) error
	Ports(ctx context.Context) ([]hop3.PortClaim, error)
	Hosts(ctx context.Context) (map[string]string, error)

	Users(ctx context.Context) ([]hop3.User, error)
	User(ctx context.Context, username string) (hop3.User, error)
	CreateUser(ctx context.Context, u hop3.User, events ...hop3.Event) error
	UpdateUser(ctx context.Context, username string, change func(*hop3.User) error, events ...hop3.Event) (hop3.User, error)
	DeleteUser(ctx context.Context, username string, events ...hop3.Event) error

	Keys(ctx context.Context) ([]hop3.Key, error)
	Key(ctx context.Context, fingerprint string) (hop3.Key, error)
	AddKey(ctx context.Context, k hop3.Key, events ...hop3.Event) error
	RemoveKey(ctx context.Context, fingerprint string, events ...hop3.Event) error

	RevokeToken(ctx context.Context, id string, expires time.Time, events ...hop3.Event) error
	TokenRevoked(ctx context.Context, id string) (bool, error)
	UseToken(ctx context.Context, id string, expires time.Time) (first bool, err error)

	CronDatabase
	WebhookDatabase
	AddonDatabase
	RightsDatabase
	EventDatabase
	NoticeDatabase
	FirewallDatabase
	BackupDatabase

	Close() error
}

// Store checks a store against its contract. It calls create once for each
// story, to make a database that is empty; the function that create returns
// connects to it, each time anew.
func Store(t *testing.T, create func(t *testing.T) (connect func() Database)) {
	for _, story := range []struct {
		name string
		tell func(s *storeStory)
	}{
		{"what is stored comes back", (*storeStory).roundTrip},
		{"lists are in order", (*storeStory).order},
		{"a list of apps is never old", (*storeStory).freshApps},
		{"what does not exist is not found", (*storeStory).notFound},
		{"apps have names and labels of their own", (*storeStory).appConflicts},
		{"a failed change writes nothing", (*storeStory).failedChange},
		{"changes at once all count", (*storeStory).concurrentChanges},
		{"release numbers are never used twice", (*storeStory).numbers},
		{"a commit switches everything", (*storeStory).commit},
		{"a host has one owner", (*storeStory).hostConflict},
		{"rivals for a host: one wins", (*storeStory).hostRace},
		{"a port is one app's", (*storeStory).ports},
		{"rivals for ports: one wins", (*storeStory).portRace},
		{"deleting an app takes all that hangs on it", (*storeStory).deleteApp},
		{"users have keys", (*storeStory).usersAndKeys},
		{"teams and grants make rights", (*storeStory).teamsAndGrants},
		{"tokens have names", (*storeStory).apiTokens},
		{"revoked tokens stay revoked", (*storeStory).tokens},
		{"cron runs come back", (*storeStory).cronRoundTrip},
		{"what cron runs do not exist is not found", (*storeStory).cronNotFound},
		{"a turn is taken once", (*storeStory).oneTurn},
		{"the history of cron runs is bounded", (*storeStory).cronHistory},
		{"a message of a git host is taken once", (*storeStory).deliveries},
		{"addons outlive apps, and go when none has them", (*storeStory).addons},
		{"an event is stored with its change or not at all", (*storeStory).eventsOfChanges},
		{"events are found", (*storeStory).eventQueries},
		{"events stay what they were", (*storeStory).eventChain},
		{"a notice waits until it was sent", (*storeStory).notices},
		{"networks have a name each", (*storeStory).networks},
		{"bans end, and go with their app", (*storeStory).bans},
		{"backups are found, and outlive their app", (*storeStory).backups},
		{"an ended context changes nothing", (*storeStory).canceled},
		{"hostile text is kept or refused", (*storeStory).hostileText},
	} {
		t.Run(story.name, func(t *testing.T) {
			s := &storeStory{T: t, ctx: t.Context(), open: create(t)}
			s.db = s.connect()
			story.tell(s)
		})
	}
}

// storeStory is one story about a database of its own.
type storeStory struct {
	*testing.T
	ctx  context.Context
	open func() Database
	db   Database
}

// connect returns another connection to the story's database.
func (s *storeStory) connect() Database {
	s.Helper()
	db := s.open()
	s.Cleanup(func() {
		if err := db.Close(); err != nil {
			s.Errorf("Close: %v", err)
		}
	})
	return db
}

func (s *storeStory) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *storeStory) same(got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func (s *storeStory) fails(err error, code hop3.Code, message string) {
	s.Helper()
	if hop3.CodeOf(err) != code || hop3.MessageOf(err) != message {
		s.Errorf("got error %v (%s), want %s %q", err, hop3.CodeOf(err), code, message)
	}
}

// app creates an app; name is all it needs.
func (s *storeStory) app(name string) {
	s.Helper()
	s.ok(s.db.CreateApp(s.ctx, hop3.App{Name: name}))
}

// release stores a release in the making and returns its number.
func (s *storeStory) release(app string, hosts ...string) int {
	s.Helper()
	r, err := s.db.NewRelease(s.ctx, hop3.Release{App: app, Status: hop3.ReleaseBuilding, Hosts: hosts})
	s.ok(err)
	return r.Number
}

func (s *storeStory) checkHosts(want map[string]string) {
	s.Helper()
	got, err := s.db.Hosts(s.ctx)
	s.ok(err)
	s.same(got, want)
}

// fill sets every field that v holds to something that is not its zero value,
// so that a field which a store forgets is seen.
func (s *storeStory) fill(v reflect.Value) {
	s.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("text of " + v.Type().Name())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint32:
		v.SetUint(0o700)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		s.fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		s.fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		s.fill(key)
		s.fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 2, 28, 12, 0, 0, 123000, time.UTC)))
			return
		}
		for i := range v.NumField() {
			s.fill(v.Field(i))
		}
	default:
		s.Fatalf("this suite cannot fill a %s: teach it", v.Type())
	}
}
