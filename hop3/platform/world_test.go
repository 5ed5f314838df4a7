package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/disk"
	"github.com/abilian/hop3/hop3/store"
)

// world is a platform on a real database and disk. What runs processes, routes
// requests and keeps git is replaced, because these tests make each of them
// fail, or the server end, at chosen moments; the real ones are in the stories
// under tests/.
type world struct {
	*Platform
	t       *testing.T
	home    string
	runtime *fakeRuntime
	proxy   *fakeProxy
	repos   *fakeRepos
	prober  *fakeProber
	builder *fakeBuilder
	out     *transcript
	time    testClock
}

var alice = Actor{Username: "alice"}

func newWorld(t *testing.T) *world {
	w := &world{
		t:       t,
		home:    t.TempDir(),
		runtime: &fakeRuntime{running: map[hop3.ReleaseID]hop3.Launch{}},
		repos:   &fakeRepos{refs: map[string]string{}},
		out:     &transcript{},
		time:    testClock{t: time.Now()},
	}
	if err := os.Mkdir(filepath.Join(w.home, "apps"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	return w
}

// reboot is a new server on the same home: processes and references are still
// there, routes are not.
func (w *world) reboot() {
	w.t.Helper()
	db, err := store.Open(w.t.Context(), "", w.home)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		if err := db.CreateUser(w.t.Context(), hop3.User{Username: name, Active: true}); err != nil && hop3.CodeOf(err) != hop3.CodeConflict {
			w.t.Fatal(err)
		}
	}
	w.proxy, w.prober, w.builder = &fakeProxy{routes: map[string]hop3.Route{}}, &fakeProber{}, &fakeBuilder{}
	p := &Platform{
		Store:    db,
		Runtime:  w.runtime,
		Builders: func() []hop3.Builder { return []hop3.Builder{w.builder} },
		Proxy:    w.proxy,
		Repos:    w.repos,
		Prober:   w.prober,
		Files:    disk.Files{},
		Certs:    fakeCerts{},
		Logger:   zap.NewNop(),
		Settings: Settings{
			Home: w.home, BaseDomain: "localhost", StartTimeout: time.Second, DrainTimeout: time.Second,
			KeepReleases: 2, ConcurrentBuilds: 2, WaitingBuilds: 2, PreviewsMax: 3, PreviewExpiry: 7 * 24 * time.Hour, PreviewSleep: 15 * time.Minute, HTTPPort: 80, HTTPSPort: 443,
		},
	}
	p.clock = w.time.now
	w.Platform = p
	w.t.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			w.t.Error(err)
		}
		db.Close()
	})
}

// deployed deploys a version of the app blog and waits for what follows.
func (w *world) deployed(version string) hop3.Release {
	w.t.Helper()
	r, err := w.Deploy(w.t.Context(), alice, w.request(version))
	if err != nil {
		w.t.Fatal(err)
	}
	w.settled()
	return r
}

func (w *world) request(version string) DeployRequest {
	return DeployRequest{App: "blog", Kind: hop3.ReleaseUpload, Source: fakeSource{version}, Out: w.out}
}

// settled waits until no drain or prune is under way.
func (w *world) settled() { w.tasks.wg.Wait() }

// serves checks that exactly this release of blog runs and is routed to.
func (w *world) serves(number int) {
	w.t.Helper()
	w.settled()
	if route := w.proxy.route("blog"); route.Release != number || len(route.Upstreams) == 0 {
		w.t.Errorf("the route is %+v, want release %d", route, number)
	}
	want := []hop3.ReleaseID{{App: "blog", Number: number}}
	if got, _ := w.runtime.Releases(w.t.Context()); !slices.Equal(got, want) {
		w.t.Errorf("%v run, want only release %d", got, number)
	}
	app, err := w.Store.App(w.t.Context(), "blog")
	if err != nil {
		w.t.Fatal(err)
	}
	if app.Live != number || app.State != hop3.StateRunning {
		w.t.Errorf("the database says release %d is live and the app %s, want %d and RUNNING", app.Live, app.State, number)
	}
}

func (w *world) status(number int) hop3.ReleaseStatus {
	w.t.Helper()
	r, err := w.Store.Release(w.t.Context(), "blog", number)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Status
}

type fakeRuntime struct {
	restarts []string // what Restart was asked for
	mu       sync.Mutex
	running  map[hop3.ReleaseID]hop3.Launch
	fail     error                                                        // of Start
	exit     int                                                          // of Run
	run      func(context.Context, hop3.Launch, hop3.OneOff) (int, error) // nil: exit
	starts   int
	change   func(*hop3.Instance) // of what Instances returns
}

func (*fakeRuntime) Name() string { return "fake" }

func (f *fakeRuntime) Start(_ context.Context, l hop3.Launch) ([]hop3.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	f.running[l.ID] = l
	f.starts++
	return f.instances(l), nil
}

func instancesOf(l hop3.Launch) []hop3.Instance {
	var all []hop3.Instance
	for _, proc := range l.Processes {
		for n := range proc.Count {
			i := hop3.Instance{App: l.ID.App, Release: l.ID.Number, Type: proc.Type, Ordinal: n + 1, State: hop3.InstanceRunning}
			if proc.Type == "web" {
				i.Upstream = fmt.Sprintf("127.0.0.1:%d", 20000+n)
			}
			all = append(all, i)
		}
	}
	return all
}

func (f *fakeRuntime) instances(l hop3.Launch) []hop3.Instance {
	all := instancesOf(l)
	for i := range all {
		if f.change != nil {
			f.change(&all[i])
		}
	}
	return all
}

func (f *fakeRuntime) Stop(_ context.Context, id hop3.ReleaseID, _ time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, id)
	return nil
}

func (f *fakeRuntime) Instances(_ context.Context, id hop3.ReleaseID) ([]hop3.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.instances(f.running[id]), nil
}

func (f *fakeRuntime) Releases(context.Context) ([]hop3.ReleaseID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.running)), nil
}

func (f *fakeRuntime) Trim(_ context.Context, id hop3.ReleaseID, counts map[string]int, _ time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.running[id]
	l.Processes = slices.Clone(l.Processes)
	for i := range l.Processes {
		l.Processes[i].Count = min(l.Processes[i].Count, counts[l.Processes[i].Type])
	}
	f.running[id] = l
	return nil
}

func (f *fakeRuntime) Restart(_ context.Context, id hop3.ReleaseID, processType string, ordinal int, why string, _ time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restarts = append(f.restarts, fmt.Sprintf("%s.%d of %s v%d: %s", processType, ordinal, id.App, id.Number, why))
	return nil
}

func (f *fakeRuntime) Run(ctx context.Context, l hop3.Launch, cmd hop3.OneOff) (int, error) {
	if f.run != nil {
		return f.run(ctx, l, cmd)
	}
	return f.exit, nil
}

func (*fakeRuntime) Close() error { return nil }

type fakeProxy struct {
	mu     sync.Mutex
	routes map[string]hop3.Route
	fail   error // of the next Set
	sets   int
	loads  map[string]hop3.Load
}

func (*fakeProxy) Name() string { return "fake" }

func (f *fakeProxy) Set(_ context.Context, r hop3.Route) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail; err != nil {
		f.fail = nil
		return err
	}
	f.routes[r.App] = r
	f.sets++
	return nil
}

func (f *fakeProxy) route(app string) hop3.Route {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.routes[app]
}

func (f *fakeProxy) Remove(_ context.Context, app string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.routes, app)
	return nil
}

func (*fakeProxy) Drain(context.Context, hop3.ReleaseID) error { return nil }

type fakeRepos struct {
	refs                  map[string]string
	elsewhere             string // what Fetch finds
	toml                  string // the hop3.toml of what is pushed; "" for none
	fetchFails, moveFails error
}

func (*fakeRepos) Ensure(context.Context, string) error { return nil }

func (f *fakeRepos) Ref(_ context.Context, _, name string) (string, error) { return f.refs[name], nil }

func (f *fakeRepos) Refs(context.Context, string) (map[string]string, error) { return f.refs, nil }

func (*fakeRepos) Changes(_ context.Context, _, from, to string, _ int) ([]hop3.FileChange, int, error) {
	return []hop3.FileChange{{Path: from + ".." + to, How: "changed"}}, 3, nil
}

func (f *fakeRepos) Stored(_ context.Context, _, commit string, _ hop3.Output) (hop3.Source, error) {
	return fakeSource{commit}, nil
}

func (f *fakeRepos) Fetch(_ context.Context, _, _, branch string, _ hop3.Output) (string, string, error) {
	return cmp.Or(branch, "main"), f.elsewhere, f.fetchFails
}

func (*fakeRepos) Complete(context.Context, string, string, string) error { return nil }

func (f *fakeRepos) MoveRef(_ context.Context, _ string, m hop3.RefMove) error {
	if f.moveFails != nil {
		return f.moveFails
	}
	f.refs[m.Name] = m.New
	return nil
}

// Contains finds the ancestor's hash in the commit's: the numbers are digits.
func (f *fakeRepos) Contains(_ context.Context, _, ancestor, commit string) (bool, error) {
	return ancestor <= commit, nil
}

func (*fakeRepos) Tidy(context.Context, string) error { return nil }

func (*fakeRepos) SetHead(context.Context, string, string) error { return nil }

// fakeProber finds everything ready, or fails.
type fakeProber struct {
	sick func(upstream string) error // nil: all are well
	fail error
	hold chan struct{} // non-nil: Wait waits for its end, or the context's
	held map[int]string
}

func (f *fakeProber) Wait(ctx context.Context, _ hop3.Readiness) error {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.fail
}

func (f *fakeProber) PortHolder(port hop3.Port) (string, error) { return f.held[port.Number], nil }

func (*fakeProber) LowestPort(bool) int { return 1024 }

type fakeBuilder struct {
	fail   error
	before func() // nil: nothing
}

func (*fakeBuilder) Name() string { return "local" }

func (*fakeBuilder) Accept(context.Context, hop3.BuildRequest) (string, bool) { return "", true }

func (f *fakeBuilder) Build(context.Context, hop3.BuildRequest) (hop3.Artifact, error) {
	if f.before != nil {
		f.before()
	}
	return hop3.Artifact{}, f.fail
}

// fakeSource is an app whose version is in a file.
type fakeSource struct{ version string }

func (s fakeSource) Describe(context.Context) (hop3.Release, error) {
	return hop3.Release{Commit: s.version}, nil
}

func (fakeSource) Open(context.Context) (fs.FS, error) { return nil, nil }

func (s fakeSource) CheckOut(_ context.Context, dir string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "Procfile"), []byte("web: serve\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "version"), []byte(s.version), 0o644))
}

// transcript is an Output that remembers.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (o *transcript) Log(l hop3.LogLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, l.Text)
}

// fakeCerts knows of no certificate: the real ones, with a real authority, are
// in tests/.
type fakeCerts struct{ Certificates }

func (fakeCerts) Certificate(_ context.Context, host string) hop3.Certificate {
	return hop3.Certificate{Host: host}
}

func (fakeCerts) Want(context.Context, ...string) {}

func (fakeCerts) ForgetApp(string) error { return nil }

// until waits for what another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		runtime.Gosched()
	}
}
